//! Rows written and read again are the same rows, whatever is in them and however the bytes are cut.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use bytes::BytesMut;
use database::{CopyFormat, CopyOptions};
use proptest::prelude::*;

use super::{CopyError, CopyReader, CopyWriter};
use crate::value::TextSettings;

type Row = (Option<i64>, Option<String>, Option<String>);

fn text() -> impl Strategy<Value = Option<String>> {
    // Characters that mean something in one of the formats, more often than others.
    let special = prop::sample::select(vec!['\\', '"', '\'', ',', ';', '\t', '\n', '\r', '.', 'N', '\u{b}', 'ä', ' ']);
    let character = prop_oneof![3 => special, 1 => any::<char>().prop_filter("no text has zeros", |c| *c != '\0')];
    prop::option::of(prop::collection::vec(character, 0..6).prop_map(|characters| characters.into_iter().collect()))
}

fn options() -> impl Strategy<Value = CopyOptions> {
    let text = CopyOptions {
        format: CopyFormat::Text,
        delimiter: b'\t',
        null: "\\N".to_owned(),
        header: false,
        quote: b'"',
        escape: b'"',
    };
    let csv = CopyOptions { format: CopyFormat::Csv, delimiter: b',', null: String::new(), ..text.clone() };
    prop::sample::select(vec![
        text.clone(),
        CopyOptions { delimiter: b'|', null: "nil".to_owned(), ..text },
        csv.clone(),
        CopyOptions { header: true, ..csv.clone() },
        CopyOptions { delimiter: b';', quote: b'\'', escape: b'\\', null: "N".to_owned(), ..csv },
    ])
}

fn written(rows: &[Row], fields: &[FieldRef], options: &CopyOptions) -> BytesMut {
    let columns: Vec<Arc<dyn Array>> = vec![
        Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.1.clone()).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.2.clone()).collect::<StringArray>()),
    ];
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), columns).expect("a batch");
    let settings = TextSettings::default();
    let mut writer = CopyWriter::new(options, &settings);
    let mut out = BytesMut::new();
    if options.header {
        writer.write_header(&mut out, fields);
    }
    let columns = CopyWriter::columns(&batch, fields).expect("types we have");
    for row in 0..rows.len() {
        writer.write_row(&mut out, &columns, row);
    }
    out
}

fn read(bytes: &[u8], cut: usize, fields: &[FieldRef], options: &CopyOptions) -> Result<Vec<Row>, CopyError> {
    let mut rows = Vec::new();
    let mut take = |batch: RecordBatch| {
        let (number, a, b) =
            (batch.column(0).as_primitive::<arrow::datatypes::Int64Type>(), batch.column(1), batch.column(2));
        let text = |column: &Arc<dyn Array>, row: usize| {
            column.is_valid(row).then(|| column.as_string::<i32>().value(row).to_owned())
        };
        rows.extend(
            (0..batch.num_rows())
                .map(|row| (number.is_valid(row).then(|| number.value(row)), text(a, row), text(b, row))),
        );
        Ok::<(), CopyError>(())
    };
    let mut reader = CopyReader::new(options, fields, TextSettings::default());
    for piece in bytes.chunks(cut) {
        reader.push(piece, &mut take)?;
    }
    reader.finish(&mut take)?;
    Ok(rows)
}

fn fields() -> Vec<FieldRef> {
    let field = |name: &str, data_type| Arc::new(Field::new(name, data_type, true));
    vec![field("n", DataType::Int64), field("a,b", DataType::Utf8), field("b", DataType::Utf8)]
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        rows in prop::collection::vec((prop::option::of(any::<i64>()), text(), text()), 0..12),
        options in options(),
        cut in 1usize..40,
    ) {
        let bytes = written(&rows, &fields(), &options);
        let again = read(&bytes, cut, &fields(), &options);
        prop_assert_eq!(again, Ok(rows), "{:?}", String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), options in options(), cut in 1usize..9) {
        let whole = read(&bytes, bytes.len().max(1), &fields(), &options);
        prop_assert_eq!(read(&bytes, cut, &fields(), &options), whole);
    }
}
