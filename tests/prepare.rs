//! What depends on constants alone is done once, and changes nothing.

mod common;

use common::{broadcast, floats, patches, small_bindings, with_profile};
use tilewise::reference::{HostTensor, Random};
use tilewise::verify::devices;
use tilewise::{
    Activation, AnyTensor, ContractionVariant, Conv2d, DType, Gpu, Layout, Matmul, Op, Operand, Padding, Plan,
    Precision, Prepared, Program, Tensor,
};

fn upload(gpu: &Gpu, host: &HostTensor) -> Tensor<f32> {
    gpu.upload(host).unwrap().typed().unwrap()
}

fn run(gpu: &Gpu, plan: &Plan, inputs: &[&dyn Operand]) -> Vec<AnyTensor> {
    let mut outputs: Vec<AnyTensor> = plan.outputs.iter().map(|layout| gpu.allocate(layout).unwrap()).collect();
    let mut borrowed: Vec<&mut dyn Operand> = outputs.iter_mut().map(|output| output as &mut dyn Operand).collect();
    gpu.run(plan, inputs, &mut borrowed).unwrap();
    outputs
}

fn elements(gpu: &Gpu, outputs: Vec<AnyTensor>) -> Vec<f32> {
    gpu.download(&outputs.into_iter().next().unwrap().typed::<f32>().unwrap()).unwrap()
}

/// Runs the first part once and the second for several inputs; to the bit what the whole gives.
fn check(gpu: &Gpu, op: &dyn Op, shapes: &[&[usize]], varying: usize) -> Option<Prepared> {
    let mut random = Random::new(11);
    let layouts: Vec<Layout> = shapes.iter().map(|shape| Layout::new(shape, DType::F32)).collect();
    let layouts: Vec<Layout> =
        layouts.into_iter().enumerate().map(|(i, l)| if i == varying { l } else { l.constant() }).collect();
    let plan = op.plan(gpu.profile(), &layouts).unwrap();
    let constants: Vec<usize> = (0..shapes.len()).filter(|&i| i != varying).collect();
    let prepared = plan.prepare(&constants)?;
    let Prepared { once, each } = &prepared;
    let mut tensors: Vec<Tensor<f32>> = shapes.iter().map(|shape| upload(gpu, &floats(&mut random, shape))).collect();
    let known: Vec<&dyn Operand> = constants.iter().map(|&i| &tensors[i] as &dyn Operand).collect();
    let made = run(gpu, once, &known);
    assert!(!once.dispatches.is_empty() && !each.dispatches.is_empty());
    assert_eq!(once.dispatches.len() + each.dispatches.len(), plan.dispatches.len());
    for _ in 0..2 {
        tensors[varying] = upload(gpu, &floats(&mut random, shapes[varying]));
        let inputs: Vec<&dyn Operand> = tensors.iter().map(|tensor| tensor as &dyn Operand).collect();
        let whole = elements(gpu, run(gpu, &plan, &inputs));
        let inputs: Vec<&dyn Operand> =
            inputs.into_iter().chain(made.iter().map(|tensor| tensor as &dyn Operand)).collect();
        assert_eq!(elements(gpu, run(gpu, each, &inputs)), whole, "{plan}");
    }
    Some(prepared)
}

fn with(gpu: &Gpu, variant: ContractionVariant) -> Gpu {
    with_profile(gpu, |profile| profile.contractions = vec![variant])
}

#[test]
fn packed_panels() {
    for gpu in devices() {
        let (Some(broadcast), Some(patches)) = (broadcast(gpu), patches(gpu)) else { continue };
        // Odd sizes: neither operand lies in vectors. Either may be the one that is known.
        for varying in 0..2 {
            let split = check(&with(gpu, broadcast), &Matmul::default(), &[&[9, 7], &[7, 13], &[13]], varying).unwrap();
            assert_eq!((split.once.dispatches.len(), split.once.outputs.len()), (1, 1));
        }
        let conv = Conv2d { activation: Activation::Relu, ..Default::default() };
        let split = check(&with(gpu, patches), &conv, &[&[2, 3, 7, 9], &[5, 3, 3, 3], &[5]], 0).unwrap();
        // Weights are packed; the planes of the image are not.
        assert_eq!((split.once.dispatches.len(), split.each.dispatches.len()), (1, 2));
    }
}

#[test]
fn transformed_filters_and_what_is_packed_of_them() {
    for gpu in devices() {
        let mut variants = vec![common::DIRECT];
        variants.extend(broadcast(gpu));
        for variant in variants {
            let gpu = with(gpu, ContractionVariant { winograd: 4, ..variant });
            let op = Conv2d { padding: Padding::all(1), precision: Precision::Winograd, ..Default::default() };
            let Prepared { once, each } = check(&gpu, &op, &[&[2, 3, 6, 6], &[5, 3, 3, 3], &[5]], 0).unwrap();
            // The filters themselves are handed on where they are not packed, else the panels alone.
            let packed = once.dispatches.len() == 2;
            assert_eq!((once.outputs.len(), once.scratch.len()), (1, usize::from(packed)));
            // Images and products, and panels of images beside those of filters: three channels are no whole vector.
            assert_eq!(each.scratch.len(), 2 + usize::from(packed));
        }
    }
}

/// Parts that share a piece of memory in turn are not prepared: it holds something else each time.
#[test]
fn what_is_overwritten_is_made_each_time() {
    for gpu in devices() {
        let Some(broadcast) = broadcast(gpu) else { continue };
        // A panel of the right operand fits, twice as many rows of the left one do not.
        let columns = broadcast.tile().1;
        let gpu = with_profile(&with(gpu, broadcast), small_bindings(40 * columns as u64));
        let (a, b) = ([2 * columns, 7], [7, 13]);
        let whole =
            Matmul::default().plan(gpu.profile(), &[a, b].map(|shape| Layout::new(&shape, DType::F32))).unwrap();
        assert!(whole.dispatches.len() > 3, "{whole}");
        assert_eq!(check(&gpu, &Matmul::default(), &[&a, &b], 1), None);
        assert_eq!(whole.prepare(&[]), None);
        assert_eq!(whole.prepare(&[5]), None);
    }
}

#[test]
fn programs_prepare_their_constants_when_they_are_compiled() {
    let mut random = Random::new(3);
    let (host, second) = (floats(&mut random, &[1, 3, 7, 9]), floats(&mut random, &[1, 3, 7, 9]));
    let filters = floats(&mut random, &[4, 3 * 9]);
    let op = Conv2d { padding: Padding::all(1), precision: Precision::Winograd, ..Default::default() };
    for gpu in devices() {
        let gpu = with(gpu, ContractionVariant { winograd: 2, ..common::DIRECT });
        let weight = upload(&gpu, &filters);
        let mut build = Program::builder(&gpu);
        let x = build.input(&[1, 3, 7, 9], DType::F32);
        let flat = build.constant(&weight);
        // A constant in another shape is one still; and an input that is none.
        let w = build.reshape(flat, &[4, 3, 3, 3]).unwrap();
        let y = build.op(&op, &[x, w]).unwrap();
        let again = build.op(&op, &[x, w]).unwrap();
        build.output(y).unwrap();
        build.output(again).unwrap();
        let program = build.compile().unwrap();
        assert_eq!(program.prepared_bytes(), 2 * 16 * 4 * 3 * 4);
        assert!(program.plans().all(|plan| plan.dispatches.len() == 3));
        for host in [&host, &second, &host] {
            let image = upload(&gpu, host);
            let results = program.run(&[&image]).unwrap();
            let expected = gpu.conv2d(&op, &image, &weight.reshape(&[4, 3, 3, 3]).unwrap(), None).unwrap();
            for result in results {
                assert_eq!(elements(&gpu, vec![result]), gpu.download(&expected).unwrap());
            }
        }
    }
}
