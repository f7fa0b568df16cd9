//! Files that keep what one run found out for the next: verdicts, choices, compiled pipelines.

use std::path::{Path, PathBuf};

use crate::profile::DeviceProfile;

/// A file of what was found out about an adapter with its driver, by this version of the crate.
#[derive(Debug)]
pub(crate) struct CacheFile {
    path: PathBuf,
    header: String,
}

impl CacheFile {
    /// The file of a kind in a folder.
    pub fn new(folder: &Path, profile: &DeviceProfile, kind: &str) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let header = format!("tilewise {version}\t{}\t{}\t{}", profile.name, profile.backend, profile.driver);
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name: String = format!("{version} {} {}", profile.name, profile.driver).chars().map(plain).collect();
        CacheFile { path: folder.join(format!("{name}.{kind}")), header: header.replace('\n', " ") }
    }

    /// What tells the file from those of other adapters, drivers and versions.
    pub fn header(&self) -> &str {
        &self.header
    }

    /// What it holds, if it is there.
    pub fn read(&self) -> Option<Vec<u8>> {
        std::fs::read(&self.path).ok()
    }

    /// Replaces the file as a whole, so that no reader sees half of it. Where that fails nothing is kept, and the log says so.
    pub fn write(&self, contents: &[u8]) {
        if let Err(error) = self.replace(contents) {
            log::warn!("cannot keep {}: {error}", self.path.display());
        }
    }

    fn replace(&self, contents: &[u8]) -> std::io::Result<()> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let unique = format!("{}.{:?}", std::process::id(), std::thread::current().id());
        let draft = self.path.with_extension(unique.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
        std::fs::write(&draft, contents)?;
        std::fs::rename(&draft, &self.path)
    }

    /// The bytes that [`write_sealed`](CacheFile::write_sealed) was given, if they are all there and of the same header.
    pub fn read_sealed(&self) -> Option<Vec<u8>> {
        let mut contents = self.read()?;
        let bytes = contents.strip_prefix(self.header.as_bytes())?;
        let (seal, bytes) = bytes.split_first_chunk::<8>()?;
        if u64::from_le_bytes(*seal) != fingerprint(bytes) {
            return None;
        }
        let start = contents.len() - bytes.len();
        contents.drain(..start);
        Some(contents)
    }

    /// Keeps bytes that are of use only as a whole.
    pub fn write_sealed(&self, bytes: &[u8]) {
        self.write(&[self.header.as_bytes(), &fingerprint(bytes).to_le_bytes(), bytes].concat());
    }
}

/// FNV-1a (Fowler, Noll and Vo, 1991) of 64 bits: the same in every run of every program.
pub(crate) fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// Where this system keeps what can be made again, in a folder of the crate's own; `TILEWISE_CACHE_DIR` says otherwise.
pub(crate) fn folder() -> Option<PathBuf> {
    let folder = |variable: &str| std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
    if let Some(own) = folder("TILEWISE_CACHE_DIR") {
        return Some(own);
    }
    let system = if cfg!(target_os = "windows") {
        folder("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        folder("HOME").map(|home| home.join("Library/Caches"))
    } else {
        folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")))
    };
    system.map(|system| system.join("tilewise"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_files_are_read_as_a_whole_or_not_at_all() {
        let folder = std::env::temp_dir().join(format!("tilewise-cache-{}", std::process::id()));
        let profile = DeviceProfile::baseline();
        let file = CacheFile::new(&folder, &profile, "test");
        assert_eq!(file.read_sealed(), None);
        for bytes in [&b"some bytes"[..], b""] {
            file.write_sealed(bytes);
            assert_eq!(file.read_sealed().as_deref(), Some(bytes));
        }
        file.write_sealed(b"some bytes");
        let whole = file.read().unwrap();
        let another = CacheFile::new(&folder, &DeviceProfile { driver: "another".into(), ..profile }, "test");
        another.write(&whole);
        assert_eq!(another.read_sealed(), None, "the header is another's");
        for damaged in [&whole[..whole.len() - 1], &whole[..file.header().len() + 3], &[&whole[..], b"!"].concat(), b""]
        {
            file.write(damaged);
            assert_eq!(file.read_sealed(), None);
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
