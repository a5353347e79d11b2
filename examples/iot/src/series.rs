//! `iot series`: the columns of a CSV file as batches of series, and back.

mod folder;
mod table;

use std::ffi::OsString;
use std::path::PathBuf;

use iot_codec::cbor::{Encode, List, to_vec};
use iot_codec::series;
use lexopt::Parser;
use lexopt::prelude::*;

use self::table::{Column, Table};
use crate::{Failure, output, source};

/// The strongest level of zstd short of its slow ones.
const ZSTD_LEVEL: i32 = 19;

struct Options {
    file: Option<OsString>,
    column: Option<String>,
    batch: usize,
    out: Option<PathBuf>,
    decode: Option<PathBuf>,
}

/// Runs `series`.
pub fn run(mut parser: Parser) -> Result<(), Failure> {
    let mut options = Options { file: None, column: None, batch: 60, out: None, decode: None };
    while let Some(argument) = parser.next()? {
        match argument {
            Long("column") => options.column = Some(parser.value()?.string()?),
            Long("batch") => options.batch = parser.value()?.parse()?,
            Long("out") => options.out = Some(parser.value()?.into()),
            Long("decode") => options.decode = Some(parser.value()?.into()),
            Value(file) if options.file.is_none() => options.file = Some(file),
            other => return Err(other.unexpected().into()),
        }
    }
    if !(1..=series::MAX_SAMPLES).contains(&options.batch) {
        return Err(Failure::Usage(format!("a batch has 1 to {} samples", series::MAX_SAMPLES)));
    }
    match (&options.file, &options.decode) {
        (None, Some(folder)) => {
            let table = folder::read(folder)?;
            table.write(output::standard()).map_err(|error| Failure::Input(error.to_string()))
        }
        (Some(file), None) => {
            let table = Table::read(&source::read(file)?, options.column.as_deref())?;
            encode(&table, &options)
        }
        _ => Err(Failure::Usage("series takes a FILE.csv, or --decode DIR".into())),
    }
}

fn encode(table: &Table, options: &Options) -> Result<(), Failure> {
    let columns: Vec<&Column> = table.columns.iter().collect();
    say!("{:<24} {:>8} {:>10} {:>10} {:>10}   octets a sample", "column", "samples", "series", "cbor", "zstd");
    let mut blobs = Vec::new();
    for column in &columns {
        let batches = column.batches(&table.times, options.batch)?;
        let ours = batches.iter().map(Vec::len).sum::<usize>();
        let plain = plain_batches(table, column, options.batch);
        let cbor = plain.iter().map(Vec::len).sum::<usize>();
        let zstd = plain.iter().map(|batch| zstd_len(batch)).sum::<Result<usize, Failure>>()?;
        let samples = column.values.iter().flatten().count();
        let each = |octets: usize| octets as f64 / samples.max(1) as f64;
        say!("{:<24} {samples:>8} {:>10.3} {:>10.3} {:>10.3}", column.name, each(ours), each(cbor), each(zstd));
        blobs.push(batches);
    }
    match &options.out {
        Some(folder) => folder::write(folder, table, &columns, &blobs),
        None => Ok(()),
    }
}

/// The same samples as plain CBOR: an array of times and one of floats, the missing ones left out.
fn plain_batches(table: &Table, column: &Column, batch: usize) -> Vec<Vec<u8>> {
    let chunks = table.times.chunks(batch).zip(column.values.chunks(batch));
    let encode = |(times, values): (&[i64], &[Option<f64>])| {
        let there = || times.iter().zip(values).filter_map(|(time, value)| Some((*time, (*value)?)));
        let mut octets = encoded(&List(there().map(|(time, _)| time).collect()));
        octets.extend(encoded(&List(there().map(|(_, value)| value).collect())));
        octets
    };
    chunks.map(encode).collect()
}

fn encoded(value: &impl Encode) -> Vec<u8> {
    to_vec(value)
}

fn zstd_len(octets: &[u8]) -> Result<usize, Failure> {
    let compressed = zstd::bulk::compress(octets, ZSTD_LEVEL).map_err(|error| Failure::Input(error.to_string()))?;
    Ok(compressed.len())
}
