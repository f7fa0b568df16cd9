// How a workgroup of a contraction finds its tile and shares out the loading of the tile's panels among its invocations.
//
// The loads are blocks of 4 x 4: four rows of a (or columns of b) and four values of k. For a body that says how large its tile
// is, how many invocations share it and which blocks are neighbours: TILE_M, TILE_N, INVOCATIONS, STEP, place.
struct Params {
    m: u32,
    n: u32,
    k: u32,
    chunk: u32, // of k, in a part: a multiple of STEP
    batch_0: u32, // sizes of the batch dimensions; parts are the slowest part of the first
    batch_1: u32,
    batch_2: u32,
}

// Tiles of rows that follow each other.
const BAND: u32 = 8u;

// Blocks of a panel for four values of k.
const A_WIDTH: u32 = TILE_M / 4u;
const B_WIDTH: u32 = TILE_N / 4u;
// Blocks of the panels, and how many of them an invocation loads.
const A_BLOCKS: u32 = A_WIDTH * STEP / 4u;
const BLOCKS: u32 = A_BLOCKS + B_WIDTH * STEP / 4u;
const EVEN: bool = BLOCKS % INVOCATIONS == 0u;
const ROUNDS: u32 = (BLOCKS + INVOCATIONS - 1u) / INVOCATIONS;

// A block that an invocation loads in every step.
struct Block {
    a: a_Quads,
    b: b_Quads,
    place: vec2<u32>,
}

// What a workgroup computes.
struct Tile {
    slab: vec3<u32>, // of the output: a batch entry, and the part in the first
    batch: vec3<u32>,
    first: u32, // of k, and its end; where a is sparse, of the values of k that it holds
    end: u32,
    row: u32,
    column: u32,
}

// In bands of BAND tiles of rows, within which rows are fastest: what runs at a time is about as wide as high, and so shares most
// of what it loads.
fn tile_of(group: u32) -> Tile {
    let tiles_m = (params.m + TILE_M - 1u) / TILE_M;
    let tiles_n = (params.n + TILE_N - 1u) / TILE_N;
    let entry = group / tiles_m / tiles_n;
    let slab = batch_index(entry, params.batch_1, params.batch_2);
    let batch = vec3(slab.x % params.batch_0, slab.yz);
    var steps = vec2(slab.x / params.batch_0 * params.chunk, params.k);
    steps.y = min(steps.x + params.chunk, steps.y);
    let tile = group % (tiles_m * tiles_n);
    let band = tile / (BAND * tiles_n) * BAND;
    let height = min(BAND, tiles_m - band);
    let row = (band + tile % (BAND * tiles_n) % height) * TILE_M;
    if !steps_ALL {
        steps = 4u * steps_range(row, 0u);
    }
    return Tile(slab, batch, steps.x, steps.y, row, tile % (BAND * tiles_n) / height * TILE_N);
}

// The next step from `start` on that adds something, or one at the end.
fn next(tile: Tile, start: u32) -> u32 {
    var step = start;
    if steps_SKIPS {
        while step < tile.end && steps_is_void(tile.row, steps_place(step / 4u)) {
            step += STEP;
        }
    }
    return step;
}

// Whether the output has such an element.
fn is_inside(row: u32, column: u32) -> bool {
    return row < params.m && column < params.n;
}

// The blocks of an invocation.
fn blocks_of(tile: Tile, index: u32) -> array<Block, ROUNDS> {
    var blocks: array<Block, ROUNDS>;
    // unroll
    for (var i = 0u; i < ROUNDS; i++) {
        let block = index + i * INVOCATIONS;
        if block < A_BLOCKS {
            blocks[i].place = place(block, A_WIDTH, a_K_FASTEST);
            blocks[i].a = a_quads_begin(tile.batch, tile.row + 4u * blocks[i].place.y, params.m);
        } else {
            blocks[i].place = place(block - A_BLOCKS, B_WIDTH, b_K_FASTEST);
            blocks[i].b = b_quads_begin(tile.batch, tile.column + 4u * blocks[i].place.y, params.n);
        }
    }
    return blocks;
}

// The invocation's blocks of the step that begins at `start`, with zeros from `end` on.
fn fetch(blocks: array<Block, ROUNDS>, index: u32, start: u32, end: u32) -> array<Quad, ROUNDS> {
    var loaded: array<Quad, ROUNDS>;
    // unroll
    for (var i = 0u; i < ROUNDS; i++) {
        let block = index + i * INVOCATIONS;
        let inside = EVEN || block < BLOCKS;
        let quad = start / 4u + blocks[i].place.x;
        if start + STEP <= end {
            if block < A_BLOCKS {
                loaded[i] = a_quads_load(blocks[i].a, quad);
            } else if inside {
                loaded[i] = steps_load_b(blocks[i].b, steps_place(quad));
            }
        } else if start < end {
            if block < A_BLOCKS {
                loaded[i] = a_quads_load_to(blocks[i].a, quad, end);
            } else if inside && (steps_ALL || 4u * quad < end) {
                loaded[i] = steps_load_b_to(blocks[i].b, steps_place(quad), end);
            }
        }
    }
    return loaded;
}
