// expect: race 12
// run: bind 0.0=f32x4096:ramp 0.1=f32x4096:poison; grid 64
enable wgpu_cooperative_matrix;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
var<workgroup> tile: array<f32, 64>;

// Transposes blocks of 8 by 8, one for each workgroup; all of its subgroups load the block, the first stores it.
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) i: u32, @builtin(workgroup_id) block: vec3u, @builtin(subgroup_id) subgroup: u32) {
    tile[i] = x[64u * block.x + i];
    let columns = coopLoad<coop_mat8x8<f32, C>>(&tile[0]);
    if subgroup == 0u {
        coopStoreT(columns, &y[64u * block.x], 8u);
    }
}
