//! Permutations against their twin.

mod common;

use common::with_profile;
use tilewise::reference::{HostTensor, Random};
use tilewise::verify::{self, devices};
use tilewise::{Class, DType, DeviceProfile, Layout, Op, Permute};

#[track_caller]
fn check(dims: &[usize], shape: &[usize]) {
    let x = HostTensor::new(shape, &Random::new(1).floats(shape.iter().product())).unwrap();
    for gpu in devices() {
        for report in verify::candidates(gpu, &Permute { dims: dims.to_vec() }, std::slice::from_ref(&x)).unwrap() {
            report.assert_strict();
            assert_eq!(report.exact_mismatches, 0, "{report}");
        }
    }
}

#[test]
fn every_permutation_of_rank_4() {
    for code in 0..256usize {
        let dims = [code & 3, code >> 2 & 3, code >> 4 & 3, code >> 6];
        if (0..4).all(|dim| dims.contains(&dim)) {
            check(&dims, &[2, 3, 5, 7]);
        }
    }
}

#[test]
fn other_ranks_and_zero_sizes() {
    check(&[5, 4, 3, 2, 1, 0], &[2, 3, 2, 3, 2, 3]);
    check(&[], &[]);
    check(&[1, 0], &[0, 3]);
    check(&[1, 0], &[65, 63]);
}

/// Squares of four by four, in tiles of 8 of them by 2, 8 by 8 and 4 by 32: with rows of whole vectors and not, on either side.
#[test]
fn squares_at_the_edges_of_tiles() {
    for rows in [4, 5, 31, 32, 33, 36] {
        for columns in [4, 7, 8, 12, 32, 33, 68] {
            check(&[1, 0], &[rows, columns]);
        }
    }
    // Rows of whole lines.
    for (rows, columns) in [(16, 128), (32, 144), (80, 16)] {
        check(&[1, 0], &[rows, columns]);
    }
    check(&[0, 2, 3, 1], &[2, 20, 3, 8]);
    check(&[5, 1, 3, 2, 4, 0], &[4, 2, 3, 2, 3, 8]);
    check(&[3, 1, 0, 2], &[4, 0, 3, 8]);
}

#[test]
fn plans_say_why_squares_are_chosen() {
    let plan = |class, shape: &[usize], dims: &[usize], align| {
        let profile = DeviceProfile { class, ..DeviceProfile::baseline() };
        let layout = Layout { align, ..Layout::new(shape, DType::F32) };
        Permute { dims: dims.to_vec() }.plan(&profile, &[layout]).unwrap()
    };
    for class in [Class::Unknown, Class::Cpu] {
        let whole = plan(class, &[2, 8, 3, 12], &[0, 2, 3, 1], 16);
        assert_eq!(whole.variant, "map/squares");
        assert!(whole.why.contains("four at once"), "{whole}");
        // Nothing to turn, or less than a square.
        assert_eq!(plan(class, &[2, 8, 12], &[1, 0, 2], 16).variant, "map/vectors");
        assert_eq!(plan(class, &[3, 12], &[1, 0], 16).variant, "map/scalar");
    }
    for (shape, align) in [([8, 13], 16), ([8, 12], 4)] {
        let ragged = plan(Class::Unknown, &shape, &[1, 0], align);
        assert_eq!((ragged.variant.as_str(), ragged.inputs[0].align), ("map/squares", 4), "{ragged}");
        assert_eq!(plan(Class::Cpu, &shape, &[1, 0], align).variant, "map/scalar");
    }
}

/// Pieces that start and end anywhere: those of whole vectors are moved in vectors, the others are not.
#[test]
fn squares_in_pieces() {
    let mut random = Random::new(2);
    for gpu in devices() {
        for (bytes, budget) in [(1024, u64::MAX), (1 << 20, 50)] {
            let gpu = with_profile(gpu, |profile| {
                profile.limits.max_storage_buffer_binding_size = bytes;
                profile.floor_flops = budget as f64;
                profile.work_budget = std::time::Duration::from_secs(1);
            });
            for shape in [[16, 20], [12, 33]] {
                let x = common::integers(&mut random, &shape);
                for report in verify::candidates(&gpu, &Permute { dims: vec![1, 0] }, &[x]).unwrap() {
                    report.assert_strict();
                    assert_eq!(report.exact_mismatches, 0, "{report}");
                }
            }
        }
    }
}

#[test]
fn bad_input_is_refused_by_name() {
    let infer = |dims: &[usize], dtype| {
        Permute { dims: dims.to_vec() }.infer(&[Layout::new(&[2, 3], dtype)]).unwrap_err().to_string()
    };
    let wanted = "permute: dims [0, 0] is no permutation of the dimensions of x [2, 3]";
    assert_eq!(infer(&[0, 0], DType::F32), wanted);
    assert_eq!(infer(&[1, 0], DType::I8), "permute: x is i8, f32 or f16 or i32 or u32 wanted");
}
