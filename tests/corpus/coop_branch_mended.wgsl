// expect: none
// run: bind 0.0=f32x64:ramp 0.1=f32x64:poison
enable wgpu_cooperative_matrix;
alias Tile = coop_mat8x8<f32, C>;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) i: u32, @builtin(subgroup_id) subgroup: u32) {
    let tile = coopLoad<Tile>(&x[0]);
    // One lane is no subgroup: only all of its lanes together can store what they hold.
    if subgroup == 0u {
        coopStore(tile, &y[0]);
    }
}
