//! Rows as bytes that sort as wanted: the sort key, then all columns.
//!
//! 1. Each sort column is written as `RowCodec` does, after a tag that puts NULL first or last; with DESC all bytes of the
//!    value are turned. No value's bytes begin another's, so the keys of several columns compare column by column.
//! 2. All columns of the row follow, in their canonical form: they break ties, and equal rows are equal bytes.

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use changelog::{RowBytes, RowCodec, RowCodecError, canonical_key, canonical_value};

/// How rows are sorted by one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SortColumn {
    /// The column's place.
    pub column: usize,
    /// Whether greater values come first.
    pub descending: bool,
    /// Whether NULL comes before all values.
    pub nulls_first: bool,
}

const NULL_FIRST: u8 = 0;
const VALUE: u8 = 1;
const NULL_LAST: u8 = 2;

/// Turns rows into bytes and back.
#[derive(Debug)]
pub(super) struct RowEncoder {
    order: Vec<SortColumn>,
    sort_codecs: Vec<RowCodec>,
    row_codec: RowCodec,
    partition: Vec<usize>,
    partition_codec: RowCodec,
}

/// A batch's rows as bytes.
#[derive(Debug, Default)]
pub(super) struct EncodedRows {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    sort_lengths: Vec<u32>,
}

impl EncodedRows {
    /// A row's bytes, and how many of them are its sort key.
    #[inline]
    pub(super) fn row(&self, row: usize) -> (&[u8], usize) {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        (&self.bytes[start..self.ends[row]], self.sort_lengths[row] as usize)
    }
}

/// The keys of a batch's rows.
pub(super) struct PartitionKeys {
    pub columns: Vec<ArrayRef>,
    /// `None` if the key has no columns.
    bytes: Option<RowBytes>,
}

impl PartitionKeys {
    #[inline]
    pub(super) fn key(&self, row: usize) -> &[u8] {
        self.bytes.as_ref().map_or(&[], |bytes| bytes.row(row))
    }
}

impl RowEncoder {
    pub(super) fn new(schema: &SchemaRef, partition: &[usize], order: &[SortColumn]) -> RowEncoder {
        let type_of = |column: usize| schema.field(column).data_type().clone();
        RowEncoder {
            order: order.to_vec(),
            sort_codecs: order.iter().map(|sort| RowCodec::new(vec![type_of(sort.column)])).collect(),
            row_codec: RowCodec::new(schema.fields().iter().map(|field| field.data_type().clone()).collect()),
            partition: partition.to_vec(),
            partition_codec: RowCodec::new(partition.iter().map(|column| type_of(*column)).collect()),
        }
    }

    pub(super) fn types(&self) -> &[DataType] {
        self.row_codec.types()
    }

    /// The partition keys of rows.
    pub(super) fn partition_keys(&self, rows: &RecordBatch) -> PartitionKeys {
        let columns: Vec<ArrayRef> = self.partition.iter().map(|column| canonical_key(rows.column(*column))).collect();
        let bytes = (!columns.is_empty()).then(|| self.partition_codec.encode(&columns));
        PartitionKeys { columns, bytes }
    }

    /// The key columns of encoded partition keys.
    pub(super) fn decode_keys<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<ArrayRef>, RowCodecError> {
        self.partition_codec.decode(keys)
    }

    /// The columns of rows that were encoded (without their sort keys).
    pub(super) fn decode<'a>(&self, rows: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>, RowCodecError> {
        self.row_codec.decode(rows)
    }

    pub(super) fn sort_keys_of(&self, values: &ArrayRef) -> Vec<Box<[u8]>> {
        let ([sort], [codec]) = (self.order.as_slice(), self.sort_codecs.as_slice()) else {
            panic!("values are looked for in the order of one column");
        };
        let values = canonical_key(values);
        let encoded = codec.encode(std::slice::from_ref(&values));
        let key = |row: usize| {
            let mut bytes = Vec::new();
            push_sort_value(&mut bytes, sort, values.is_null(row), &encoded.row(row)[1..]);
            bytes.into_boxed_slice()
        };
        (0..values.len()).map(key).collect()
    }

    pub(super) fn encode(&self, rows: &RecordBatch) -> EncodedRows {
        let columns: Vec<ArrayRef> = rows.columns().iter().map(canonical_value).collect();
        let sort_columns: Vec<(&SortColumn, RowBytes, &ArrayRef)> = self
            .order
            .iter()
            .zip(&self.sort_codecs)
            .map(|(sort, codec)| {
                let column = &columns[sort.column];
                (sort, codec.encode(std::slice::from_ref(column)), column)
            })
            .collect();
        let whole = (!columns.is_empty()).then(|| self.row_codec.encode(&columns));
        let mut encoded = EncodedRows {
            bytes: Vec::with_capacity(rows.num_rows() * 32),
            ends: Vec::with_capacity(rows.num_rows()),
            sort_lengths: Vec::with_capacity(rows.num_rows()),
        };
        for row in 0..rows.num_rows() {
            let start = encoded.bytes.len();
            for (sort, values, column) in &sort_columns {
                push_sort_value(&mut encoded.bytes, sort, column.is_null(row), &values.row(row)[1..]);
            }
            encoded.sort_lengths.push((encoded.bytes.len() - start) as u32);
            encoded.bytes.extend_from_slice(whole.as_ref().map_or(&[], |whole| whole.row(row)));
            encoded.ends.push(encoded.bytes.len());
        }
        encoded
    }
}

#[inline]
fn push_sort_value(bytes: &mut Vec<u8>, sort: &SortColumn, is_null: bool, value: &[u8]) {
    if is_null {
        bytes.push(if sort.nulls_first { NULL_FIRST } else { NULL_LAST });
        return;
    }
    bytes.push(VALUE);
    if sort.descending {
        bytes.extend(value.iter().map(|byte| !byte));
    } else {
        bytes.extend_from_slice(value);
    }
}
