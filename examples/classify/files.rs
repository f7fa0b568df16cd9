//! Readers of the two file formats: IDX (images and labels) and safetensors (weights).

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use safetensors::SafeTensors;
use tilewise::reference::HostTensor;

/// Why a file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file is missing, unreadable, or a damaged gzip stream.
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// Neither the file nor its gzipped form is there.
    #[error("{} is missing, and so is {}.gz", path.display(), path.display())]
    Missing { path: PathBuf },
    /// The first four bytes are not those of unsigned bytes in the wanted number of dimensions.
    #[error("{} is not an IDX file of unsigned bytes in {dimensions} dimensions: it starts with {found:02x?}", path.display())]
    Magic { path: PathBuf, dimensions: usize, found: Vec<u8> },
    /// The file holds another number of bytes than its header says.
    #[error("{} is {found} bytes long, its header asks for {wanted}", path.display())]
    Length { path: PathBuf, wanted: u64, found: u64 },
    /// safetensors refused the file; a truncated one ends up here.
    #[error("{} is not a whole safetensors file: {detail}", path.display())]
    Safetensors { path: PathBuf, detail: String },
    /// A tensor is not what the network needs.
    #[error("{}: tensor {name} is {found}, wanted f32 {shape:?}", path.display())]
    Tensor { path: PathBuf, name: String, shape: Vec<usize>, found: String },
}

/// An array of unsigned bytes.
#[derive(Debug, PartialEq)]
pub struct Idx {
    /// Sizes of the dimensions, outermost first.
    pub shape: Vec<usize>,
    /// The elements, row-major.
    pub data: Vec<u8>,
}

/// The file itself, or its gzipped form beside it.
pub fn plain_or_gzipped(path: &Path) -> Result<PathBuf, FileError> {
    let mut gzipped = path.as_os_str().to_owned();
    gzipped.push(".gz");
    [path.to_owned(), PathBuf::from(gzipped)]
        .into_iter()
        .find(|path| path.exists())
        .ok_or_else(|| FileError::Missing { path: path.to_owned() })
}

/// All bytes of a file, unpacked if its name ends in `.gz`.
fn bytes(path: &Path) -> Result<Vec<u8>, FileError> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let mut bytes = Vec::new();
        if path.extension().is_some_and(|extension| extension == "gz") {
            GzDecoder::new(file).read_to_end(&mut bytes)?;
        } else {
            file.read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    };
    read().map_err(|source| FileError::Read { path: path.to_owned(), source })
}

/// Reads an IDX file: 0, 0, 8 for unsigned bytes, the number of dimensions, their sizes as big-endian u32, the elements.
pub fn read_idx(path: &Path, dimensions: usize) -> Result<Idx, FileError> {
    let bytes = bytes(path)?;
    let header = 4 + 4 * dimensions;
    let magic = &bytes[..bytes.len().min(4)];
    if magic != [0, 0, 8, dimensions as u8] {
        return Err(FileError::Magic { path: path.to_owned(), dimensions, found: magic.to_vec() });
    }
    let length = |wanted| FileError::Length { path: path.to_owned(), wanted, found: bytes.len() as u64 };
    if bytes.len() < header {
        return Err(length(header as u64));
    }
    let sizes: Vec<u32> =
        bytes[4..header].chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]])).collect();
    // Saturating: a damaged header may ask for more than any file holds.
    let wanted = sizes.iter().fold(1u64, |product, &size| product.saturating_mul(size.into()));
    if (bytes.len() - header) as u64 != wanted {
        return Err(length(wanted.saturating_add(header as u64)));
    }
    Ok(Idx { shape: sizes.iter().map(|&size| size as usize).collect(), data: bytes[header..].to_vec() })
}

/// Reads named f32 tensors of known shapes from a safetensors file.
pub fn read_tensors(path: &Path, wanted: &[(&str, &[usize])]) -> Result<Vec<HostTensor>, FileError> {
    let bytes = bytes(path)?;
    let damaged = |detail: String| FileError::Safetensors { path: path.to_owned(), detail };
    let file = SafeTensors::deserialize(&bytes).map_err(|error| damaged(error.to_string()))?;
    wanted
        .iter()
        .map(|&(name, shape)| {
            let refuse = |found: String| FileError::Tensor {
                path: path.to_owned(),
                name: name.to_owned(),
                shape: shape.to_vec(),
                found,
            };
            let view = file.tensor(name).map_err(|_| refuse("missing".into()))?;
            if view.dtype() != safetensors::Dtype::F32 || view.shape() != shape {
                return Err(refuse(format!("{:?} {:?}", view.dtype(), view.shape())));
            }
            let elements: Vec<f32> =
                view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            HostTensor::new(shape, &elements).map_err(|error| damaged(error.to_string()))
        })
        .collect()
}
