//! The contraction family's parts against each other: a pairwise cover of how operands are loaded, whether they share a
//! buffer, where parameters lie, the epilogue and the body, under verification's guards.

mod common;

use common::{FEW_COLUMNS, STAGED_UNEVENLY, TILED, bodies, integers, pairwise, passes, with_profile};
use tilewise::reference::{Random, Twin};
use tilewise::verify::{self, devices};
use tilewise::{Activation, Conv2d, ConvTranspose2d, Gpu, Layout, Matmul, Padding, wgpu};

/// How operands are loaded: the op that leads to it, and the shapes of its operands and of a bias.
#[derive(Clone, Copy, Debug)]
enum Loader {
    Dense,
    Transposed,
    Im2col,
    /// With filters whose k is a pair.
    Col2im,
    /// Images as dense operands, a batch entry each.
    Pointwise,
}

#[derive(Clone, Copy, Debug)]
enum Epilogue {
    Nothing,
    /// A value a column, where the op has it: convolutions only have one a row, their channels.
    ColumnBias,
    RowBias,
    Activation,
}

/// The body that takes convolutions without a dilation alone.
const PATCHES: usize = 3;

#[derive(Clone, Copy, Debug)]
struct Case {
    loader: Loader,
    arena: bool,
    uniform: bool,
    epilogue: Epilogue,
    body: usize,
}

#[track_caller]
fn run(gpu: &Gpu, case: Case, op: &impl Twin, mut shapes: Vec<Vec<usize>>) {
    let mut random = Random::new(1);
    if matches!(case.epilogue, Epilogue::Nothing) {
        shapes.truncate(2);
    }
    let inputs: Vec<_> = shapes.iter().map(|shape| integers(&mut random, shape)).collect();
    let layouts: Vec<Layout> = verify::guarded_layouts(&inputs)
        .into_iter()
        .map(|layout| if case.arena { layout.in_arena() } else { layout })
        .collect();
    let plan = op.plan(gpu.profile(), &layouts).unwrap();
    for dispatch in &plan.dispatches {
        let text = dispatch.kernel.compose().unwrap().text;
        assert!(!case.uniform || text.contains("var<uniform>"), "{case:?}");
        assert_eq!(case.arena, !text.contains("var<storage, read>"), "{case:?}");
    }
    let report = verify::plan(gpu, op, &plan, &inputs).unwrap();
    assert!(report.compared > 0, "{case:?}");
    passes(op, &report, true);
}

#[test]
fn loaders_memory_params_and_epilogues_go_together() {
    let loaders = [Loader::Dense, Loader::Transposed, Loader::Im2col, Loader::Col2im, Loader::Pointwise];
    let epilogues = [Epilogue::Nothing, Epilogue::ColumnBias, Epilogue::RowBias, Epilogue::Activation];
    for row in pairwise(&[5, 2, 2, 4, 7]) {
        let case = Case {
            loader: loaders[row[0]],
            arena: row[1] == 1,
            uniform: row[2] == 1,
            epilogue: epilogues[row[3]],
            body: row[4],
        };
        let activation =
            if matches!(case.epilogue, Epilogue::Activation) { Activation::Relu } else { Activation::None };
        for gpu in devices() {
            let gpu = &with_profile(gpu, |profile| {
                // A device without subgroups of one size takes the first again, as does what is no convolution.
                let body = bodies(gpu).get(case.body).copied().unwrap_or(TILED);
                let matmul = matches!(case.loader, Loader::Dense | Loader::Transposed);
                // The columns of convolutions, which are pairs, cannot be the rows of a transposed problem.
                let body = if body == FEW_COLUMNS && !matmul { STAGED_UNEVENLY } else { body };
                profile.contractions = vec![body, TILED];
                if case.uniform {
                    profile.features.remove(wgpu::Features::IMMEDIATES);
                }
            });
            match case.loader {
                Loader::Dense | Loader::Transposed => {
                    let transposed = matches!(case.loader, Loader::Transposed);
                    let op =
                        Matmul { transpose_a: transposed, transpose_b: transposed, activation, ..Default::default() };
                    let (a, b) = if transposed { ([2, 9, 13], [19, 9]) } else { ([2, 13, 9], [9, 19]) };
                    let bias = if matches!(case.epilogue, Epilogue::RowBias) { vec![13, 1] } else { vec![19] };
                    run(gpu, case, &op, vec![a.to_vec(), b.to_vec(), bias]);
                }
                Loader::Im2col => {
                    let op = Conv2d {
                        padding: Padding { top: 2, left: 0, bottom: 1, right: 3 },
                        stride: [2, 1],
                        dilation: [1, if case.body == PATCHES { 1 } else { 2 }],
                        groups: 2,
                        activation,
                        ..Default::default()
                    };
                    run(gpu, case, &op, vec![vec![3, 4, 7, 9], vec![26, 2, 3, 2], vec![26]]);
                }
                Loader::Col2im => {
                    let op = ConvTranspose2d {
                        padding: Padding { top: 1, left: 0, bottom: 2, right: 1 },
                        stride: [2, 3],
                        output_padding: [1, 0],
                        dilation: [1, 2],
                        groups: 2,
                        activation,
                    };
                    run(gpu, case, &op, vec![vec![2, 4, 4, 3], vec![4, 13, 3, 2], vec![26]]);
                }
                Loader::Pointwise => {
                    let op = Conv2d { groups: 2, activation, ..Default::default() };
                    run(gpu, case, &op, vec![vec![3, 10, 3, 5], vec![26, 5, 1, 1], vec![26]]);
                }
            }
        }
    }
}

#[test]
fn the_cover_holds_every_pair() {
    let levels = [5, 2, 2, 4, 7];
    let rows = pairwise(&levels);
    for j in 0..levels.len() {
        for i in 0..j {
            for (x, y) in (0..levels[i]).flat_map(|x| (0..levels[j]).map(move |y| (x, y))) {
                assert!(rows.iter().any(|row| row[i] == x && row[j] == y), "{i}: {x}, {j}: {y}");
            }
        }
    }
    assert!(rows.len() < 45, "{}", rows.len());
}
