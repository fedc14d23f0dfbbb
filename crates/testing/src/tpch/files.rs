//! TPC-H's rows as files: what `keyfold bench tpch` reads.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};

use super::{Generator, small_tables};
use crate::keyfold::repository_root;

/// Writes `<table>.tbl` of each table, `orders.new.tbl` and `lineitem.new.tbl` with the orders after the load, the schema and the
/// queries.
///
/// # Errors
/// If a file cannot be written.
pub fn write_files(generator: &Generator, new_orders: u64, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    for entry in fs::read_dir(repository_root().join("examples/tpch"))? {
        let path = entry?.path();
        if let (Some("sql"), Some(name)) = (path.extension().and_then(|e| e.to_str()), path.file_name()) {
            fs::copy(&path, directory.join(name))?;
        }
    }
    for (table, lines) in small_tables(generator) {
        write_lines(&directory.join(format!("{table}.tbl")), lines.into_iter())?;
    }
    write_orders(generator, 0..generator.orders, directory, "tbl")?;
    write_orders(generator, generator.orders..generator.orders + new_orders, directory, "new.tbl")
}

fn write_orders(generator: &Generator, numbers: Range<u64>, directory: &Path, extension: &str) -> Result<()> {
    let create = |table: &str| File::create(directory.join(format!("{table}.{extension}"))).map(BufWriter::new);
    let (mut orders, mut items) = (create("orders")?, create("lineitem")?);
    for number in numbers {
        let order = generator.order(number);
        writeln!(orders, "{}", order.line)?;
        order.items.iter().try_for_each(|item| writeln!(items, "{item}"))?;
    }
    orders.flush()?;
    Ok(items.flush()?)
}

fn write_lines(path: &Path, mut lines: impl Iterator<Item = String>) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    lines.try_for_each(|line| writeln!(file, "{line}"))?;
    Ok(file.flush()?)
}
