//! The readers of the classifier example: whole files are read, damaged ones refused by name and numbers.

#[path = "../examples/classify/files.rs"]
mod files;

use std::io::Write;
use std::path::{Path, PathBuf};

use files::{FileError, Idx, plain_or_gzipped, read_idx, read_tensors};
use tilewise::reference::{HostData, HostTensor};

/// A file in a folder of its own, in the system's folder for temporary files.
fn write(name: &str, bytes: &[u8]) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("tilewise-data-files-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/fashion-mnist")
}

/// Two images of 2 x 3 pixels.
const IDX: [u8; 28] = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6, 250, 251, 252, 253, 254, 255];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn idx_is_read_plain_and_gzipped() {
    let wanted = Idx { shape: vec![2, 2, 3], data: IDX[16..].to_vec() };
    assert_eq!(read_idx(&write("plain", &IDX), 3).unwrap(), wanted);
    write("packed.gz", &gzip(&IDX));
    let found = plain_or_gzipped(&write("packed.gz", &gzip(&IDX)).with_extension("")).unwrap();
    assert_eq!(found.extension().unwrap(), "gz");
    assert_eq!(read_idx(&found, 3).unwrap(), wanted);
}

#[test]
fn truncated_idx_is_refused_at_every_length() {
    for length in 0..IDX.len() {
        let path = write(&format!("short-{length}"), &IDX[..length]);
        match read_idx(&path, 3).unwrap_err() {
            FileError::Magic { found, .. } => assert!(length < 4 && found == IDX[..length]),
            FileError::Length { wanted, found, .. } => {
                assert_eq!((wanted, found), (if length < 16 { 16 } else { 28 }, length as u64));
            }
            other => panic!("{other}"),
        }
    }
    let path = write("long", &[&IDX[..], &[0]].concat());
    assert_eq!(
        read_idx(&path, 3).unwrap_err().to_string(),
        format!("{} is 29 bytes long, its header asks for 28", path.display())
    );
}

#[test]
fn damaged_idx_is_refused() {
    // Labels where images are wanted, and a header that asks for more than memory holds.
    let labels = data().join("t10k-labels-idx1-ubyte");
    assert_eq!(
        read_idx(&labels, 3).unwrap_err().to_string(),
        format!(
            "{} is not an IDX file of unsigned bytes in 3 dimensions: it starts with [00, 00, 08, 01]",
            labels.display()
        )
    );
    let mut huge = IDX;
    huge[4..16].fill(0xff);
    assert!(matches!(read_idx(&write("huge", &huge), 3), Err(FileError::Length { wanted: u64::MAX, .. })));
    let packed = gzip(&IDX);
    assert!(matches!(read_idx(&write("cut.gz", &packed[..packed.len() - 9]), 3), Err(FileError::Read { .. })));
    assert!(matches!(read_idx(Path::new("no such file"), 3), Err(FileError::Read { .. })));
    assert!(matches!(plain_or_gzipped(Path::new("no such file")), Err(FileError::Missing { .. })));
}

#[test]
fn vendored_files_are_whole() {
    let images = read_idx(&data().join("t10k-images-idx3-ubyte"), 3).unwrap();
    assert_eq!(images.shape, [1000, 28, 28]);
    let labels = read_idx(&data().join("t10k-labels-idx1-ubyte"), 1).unwrap();
    assert_eq!(labels.shape, [1000]);
    assert!(labels.data.iter().all(|&label| label < 10));
    let logits = read_tensors(&data().join("logits.safetensors"), &[("logits", &[1000, 10])]).unwrap();
    let HostTensor { data: HostData::F32(logits), .. } = &logits[0] else { panic!("logits are not f32") };
    assert!(logits.iter().all(|logit| logit.is_finite()));
    // 93.2 % of the labels, as the data's README says.
    let largest = |row: &[f32]| (0..10u8).max_by(|&a, &b| row[usize::from(a)].total_cmp(&row[usize::from(b)])).unwrap();
    assert_eq!(logits.chunks(10).zip(&labels.data).filter(|(row, label)| largest(row) == **label).count(), 932);
}

#[test]
fn damaged_safetensors_are_refused() {
    let whole = std::fs::read(data().join("model.safetensors")).unwrap();
    let wanted: [(&str, &[usize]); 1] = [("fc2.bias", &[10])];
    for length in [0, 7, 8, 100, whole.len() / 2, whole.len() - 1] {
        let path = write(&format!("model-{length}"), &whole[..length]);
        assert!(matches!(read_tensors(&path, &wanted), Err(FileError::Safetensors { .. })), "{length} bytes");
    }
    let path = data().join("model.safetensors");
    assert_eq!(read_tensors(&path, &wanted).unwrap()[0].shape, [10]);
    let message = |name, shape: &[usize]| read_tensors(&path, &[(name, shape)]).unwrap_err().to_string();
    assert_eq!(message("fc3.bias", &[10]), format!("{}: tensor fc3.bias is missing, wanted f32 [10]", path.display()));
    assert_eq!(message("fc2.bias", &[5]), format!("{}: tensor fc2.bias is F32 [10], wanted f32 [5]", path.display()));
}
