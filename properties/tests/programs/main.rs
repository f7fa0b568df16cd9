//! Random programs do on the emulator what they do on the machine's GPU drivers, to the bit.
//!
//! Every form of expression that is exact, on integers, bools, floats and matrices, stands alone once and nested at
//! random; statements make random control flow, which diverges: 64 invocations have data of their own. The emulator
//! runs with two subgroup sizes and orders, and its checks find nothing. Without an adapter, these two are all that is
//! compared.
//!
//! Where WGSL leaves a choice, the programs do not depend on it:
//! - Floats are exact: no result is rounded, whatever the order, so that contraction and accuracy do not matter. What
//!   would not be is brought back by `fit`. There is no division, root or transcendental function, and thus no NaN nor
//!   infinity.
//! - The sign of zero is dropped where bits are taken.
//! - Floats are converted to integers within range, integers to floats up to 1024, floats to f16 where f16 has them.
//! - Nothing is packed that is halfway between two results. Of the quotients of unpacking, the whole numbers are taken.
//! - `clamp` has its bounds in order for floats, but not for integers, where WGSL says what comes out.
//! - Shifts are by less than the width, and divisors are odd: both are lints of the emulator.
//!
//! Where lavapipe (Mesa 22.3) is wrong, the programs stay clear of it: it crashes on the product of two transposes, or
//! refuses it, unless it is square, and `unpack2x16float` of what its compiler knows gives 0 for the upper half.

mod expression;
mod machine;
mod statement;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestCaseResult;
use tilewise::emulator::EmulatorOptions;
use tilewise::verify::devices;
use tilewise_properties::run;

use expression::{Type, Written, forms, pick, tree};
use machine::Kernel;

/// How the emulator runs a program besides its default: lanes to a subgroup, and the seeds of the order and of the
/// data.
type Setting = (u32, Option<u64>, u64);

fn setting() -> impl Strategy<Value = Setting> {
    (select(vec![4, 8, 16, 64]), any::<Option<u64>>(), any::<u64>())
}

/// The property: the emulator, as the setting has it and as it is by default, and every GPU write the same words.
fn agree(kernel: &Kernel, (subgroup_size, shuffle, seed): Setting) -> TestCaseResult {
    let data = kernel.data(seed);
    let expected = kernel.emulated(&data, EmulatorOptions { threads: 1, ..EmulatorOptions::default() })?;
    let same = |by: &str, found: Vec<u32>| kernel.same(&expected, &found, by);
    let options = EmulatorOptions { subgroup_size, shuffle, threads: 1, ..EmulatorOptions::default() };
    same(&format!("subgroups of {subgroup_size}, shuffled by {shuffle:?}"), kernel.emulated(&data, options)?)?;
    for gpu in devices() {
        // An emulator among the devices has neither: without a driver, it is held against itself.
        if let (Ok(device), Ok(queue)) = (gpu.device(), gpu.queue()) {
            same(&gpu.profile().name, kernel.driven(&data, device, queue))?;
        }
    }
    Ok(())
}

/// Expressions that a kernel evaluates: drivers take long for longer ones, and for each.
const BATCH: usize = 32;

/// A kernel that writes what expressions give.
fn kernel(expressions: &[(Type, Written)]) -> Kernel {
    let mut words = 0;
    let mut text =
        String::from("@compute @workgroup_size(32) fn main(@builtin(global_invocation_id) id: vec3<u32>) {\n");
    text += "lane = id.x;\n";
    for (ty, expression) in expressions {
        text += &format!("{{\nlet value = {};\n", expression.text);
        for bits in ty.bits("value") {
            text += &format!("out[lane * WORDS + {words}u] = {bits};\n");
            words += 1;
        }
        text += "}\n";
    }
    Kernel::new(&(text + "}\n"), words)
}

#[test]
fn every_form_of_expression_agrees() {
    let samples = |ty| forms(ty).into_iter().map(move |form| (ty, form.sample(ty)));
    let expressions: Vec<(Type, Written)> = Type::all().into_iter().flat_map(samples).collect();
    for (seed, batch) in (0..).zip(expressions.chunks(BATCH)) {
        let kernel = kernel(batch);
        if let Err(error) = agree(&kernel, (4, Some(seed), seed)) {
            panic!("{error}{kernel:?}");
        }
    }
}

#[test]
fn expressions_agree() {
    let types = Type::all();
    let expression = (any::<u16>(), tree(5, 24)).prop_map(move |(ty, tree)| {
        let ty = types[pick(ty, types.len())];
        (ty, tree.write(ty, &[]))
    });
    let kernel = vec(expression, 1..=BATCH).prop_map(|expressions| kernel(&expressions));
    run(24, (kernel, setting()), |(kernel, setting)| agree(&kernel, setting));
}

#[test]
fn programs_agree() {
    let program = (statement::functions(), statement::body());
    let kernel = program.prop_map(|(functions, body)| {
        let (text, words) = statement::program(&functions, &body);
        Kernel::new(&text, words)
    });
    run(24, (kernel, setting()), |(kernel, setting)| agree(&kernel, setting));
}
