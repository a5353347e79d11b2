//! Batches in a folder: a file a column, and one that names them.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use iot_codec::cbor::{List, from_slice, to_vec};
use iot_codec::framing::{LengthDelimited, frame_header};
use iot_codec::record;

use super::table::{Column, Table};
use crate::Failure;

record! {
    /// What the folder holds.
    struct Contents {
        /// What stands above the times.
        1 => time_name: String,
        /// What stands above the columns, in the order of their files.
        2 => columns: List<String>,
    }
}

/// Octets of the largest batch: 65,535 samples of a time and a float, and then some.
const MAX_BATCH_LEN: usize = 1 << 21;

fn column_path(folder: &Path, index: usize) -> PathBuf {
    folder.join(format!("{index:03}.series"))
}

/// Writes each column's batches into a file of length-delimited frames. `folder` must not exist.
pub fn write(folder: &Path, table: &Table, columns: &[&Column], blobs: &[Vec<Vec<u8>>]) -> Result<(), Failure> {
    let fail = |error: std::io::Error| Failure::Input(format!("{}: {error}", folder.display()));
    std::fs::create_dir(folder).map_err(fail)?;
    let names = List(columns.iter().map(|column| column.name.clone()).collect());
    let contents = Contents { time_name: table.time_name.clone(), columns: names };
    std::fs::write(folder.join("contents.cbor"), to_vec(&contents)).map_err(fail)?;
    for (index, batches) in blobs.iter().enumerate() {
        let mut file = BufWriter::new(File::create(column_path(folder, index)).map_err(fail)?);
        for batch in batches {
            let header = frame_header(batch.len()).map_err(|error| Failure::Input(error.to_string()))?;
            file.write_all(&header).and_then(|()| file.write_all(batch)).map_err(fail)?;
        }
        file.flush().map_err(fail)?;
    }
    Ok(())
}

/// Reads a folder that [`write()`] wrote.
pub fn read(folder: &Path) -> Result<Table, Failure> {
    let octets =
        |path: PathBuf| std::fs::read(&path).map_err(|error| Failure::Input(format!("{}: {error}", path.display())));
    let contents = octets(folder.join("contents.cbor"))?;
    let contents: Contents = from_slice(&contents).map_err(|error| Failure::Input(error.to_string()))?;
    let mut table = Table { time_name: contents.time_name, ..Table::default() };
    for (index, name) in contents.columns.0.into_iter().enumerate() {
        let batches = frames(&octets(column_path(folder, index))?)?;
        let (times, column) = Column::from_batches(name, &batches)?;
        if index > 0 && times != table.times {
            return Err(Failure::Input(format!("column {:?} has other times than the first", column.name)));
        }
        table.times = times;
        table.columns.push(column);
    }
    Ok(table)
}

fn frames(octets: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
    let refused = |error| Failure::Input(format!("a file of batches is damaged: {error}"));
    let mut decoder = LengthDelimited::new(vec![0; MAX_BATCH_LEN]);
    let (mut rest, mut frames) = (octets, Vec::new());
    while !rest.is_empty() {
        rest = &rest[decoder.push(rest).map_err(refused)?..];
        frames.extend(decoder.next_frame().map(<[u8]>::to_vec));
    }
    decoder.finish().map_err(refused)?;
    Ok(frames)
}
