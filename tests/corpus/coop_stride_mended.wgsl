// expect: none
// run: bind 0.0=f32x1024:ramp 0.1=f32x1024:poison; grid 16
enable wgpu_cooperative_matrix;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

// Doubles blocks of 8 by 8 of a matrix with 32 columns.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) block: vec3u, @builtin(subgroup_id) subgroup: u32) {
    let first = 256u * (block.x / 4u) + 8u * (block.x % 4u);
    let tile = coopLoadT<coop_mat8x8<f32, C>>(&x[first], 32u);
    if subgroup == 0u {
        coopStoreT(tile + tile, &y[first], 32u);
    }
}
