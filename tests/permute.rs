//! Permutations against their twin.

use tilewise::reference::{HostTensor, Random};
use tilewise::verify::{self, devices};
use tilewise::{DType, Layout, Op, Permute};

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

#[test]
fn bad_input_is_refused_by_name() {
    let infer = |dims: &[usize], dtype| {
        Permute { dims: dims.to_vec() }.infer(&[Layout::new(&[2, 3], dtype)]).unwrap_err().to_string()
    };
    let wanted = "permute: dims [0, 0] is no permutation of the dimensions of x [2, 3]";
    assert_eq!(infer(&[0, 0], DType::F32), wanted);
    assert_eq!(infer(&[1, 0], DType::I8), "permute: x is i8, f32 or i32 or u32 wanted");
}
