//! A log file that is rotated by size: `0.log`, `0.log.1`, ... A full disk loses lines and never
//! stops the component.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::LogOrder;

pub(super) struct LogFile {
    order: LogOrder,
    file: Option<File>,
    size: u64,
    lost: u64,
}

impl LogFile {
    pub fn open(order: &LogOrder) -> Self {
        if order.fresh {
            let _ = fs::remove_file(&order.file);
        }
        let file = append(&order.file).ok();
        let size = file.as_ref().and_then(|f| f.metadata().ok()).map_or(0, |m| m.len());
        Self { order: order.clone(), file, size, lost: 0 }
    }

    /// Writes whole lines.
    pub fn write(&mut self, lines: &[u8]) {
        if self.size > 0 && self.size + lines.len() as u64 > self.order.max_size {
            self.rotate();
        }
        if self.file.is_none() {
            self.file = append(&self.order.file).ok();
        }
        let lost = self.lost;
        let Some(file) = &mut self.file else {
            self.lost += 1;
            return;
        };
        if lost > 0 && writeln!(file, "[neuroca-deploy: {lost} writes to this log failed]").is_ok()
        {
            self.lost = 0;
        }
        match file.write_all(lines) {
            Ok(()) => self.size += lines.len() as u64,
            Err(_) => self.lost += 1,
        }
    }

    /// Writes a line of our own between those of the process.
    pub fn remark(&mut self, text: &str) {
        self.write(format!("[neuroca-deploy: {text}]\n").as_bytes());
    }

    fn rotate(&mut self) {
        let keep = self.order.keep;
        if keep == 0 {
            let _ = fs::remove_file(&self.order.file);
        } else {
            let _ = fs::remove_file(numbered(&self.order.file, keep));
            for n in (1..keep).rev() {
                let _ =
                    fs::rename(numbered(&self.order.file, n), numbered(&self.order.file, n + 1));
            }
            let _ = fs::rename(&self.order.file, numbered(&self.order.file, 1));
        }
        self.file = None;
        self.size = 0;
    }
}

fn append(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn numbered(path: &Path, n: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{n}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_rotated_by_size_and_keeps_as_many_as_it_should() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("x/0.log");
        let order = LogOrder { file: file.clone(), max_size: 20, keep: 2, fresh: false };
        let mut log = LogFile::open(&order);
        for n in 0..8 {
            log.write(format!("line {n:04}\n").as_bytes());
        }
        let read = |path: &Path| fs::read_to_string(path).expect("there");
        assert_eq!(read(&file), "line 0006\nline 0007\n");
        assert_eq!(read(&numbered(&file, 1)), "line 0004\nline 0005\n");
        assert_eq!(read(&numbered(&file, 2)), "line 0002\nline 0003\n");
        assert!(!numbered(&file, 3).exists());
    }
}
