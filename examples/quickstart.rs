//! A matrix product on the GPU, and its check against the CPU: `cargo run --release --example quickstart`

use tilewise::{Gpu, Matmul, verify};

fn main() -> Result<(), tilewise::Error> {
    let gpu = Gpu::new_or_emulated()?;
    let a = gpu.tensor(&[2, 3], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
    let b = gpu.tensor(&[3, 2], &[1.0f32, 0.0, 0.0, 1.0, 1.0, 1.0])?;

    let c = gpu.matmul(&a, &b)?;
    println!("{:?} on {}", gpu.download(&c)?, gpu.profile().name);
    assert_eq!(gpu.download(&c)?, [4.0, 5.0, 10.0, 11.0]);

    let report = verify::matmul(&gpu, &Matmul::default(), &a, &b)?;
    println!("{report}");
    report.assert();
    Ok(())
}
