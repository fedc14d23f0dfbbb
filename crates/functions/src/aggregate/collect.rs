//! Aggregates that put all values of a group together: `array_agg`, `string_agg`, `json_agg`, `jsonb_agg`,
//! `json_object_agg`, `jsonb_object_agg`, and the count of distinct values (`approx_distinct`, which is exact here).
//!
//! 1. The values of all groups that are asked for become columns, in one go.
//! 2. Each group's part of them becomes its result, a value as often as its count says (once with DISTINCT).

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, Int64Array, LargeStringBuilder, ListArray, StringBuilder, UInt32Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Field};
use changelog::{AggregateFunction, Finished, RowCodec, RowError, canonical_key};
use datafusion::common::ScalarValue;

use super::Argument;
use super::elements::{Elements, OrderArgument};
use super::ordered::{OrderedFunction, Reading};
use super::value_sets::ValueSets;
use crate::PgError;
use crate::scalar::{json_of, write_json};
use crate::text_format::json::{Json, write_string};
use crate::text_format::{Clock, write_value};

/// PostgreSQL's limit for a value.
const RESULT_BYTES_MAX: usize = 0x3fff_ffff;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Array,
    Text,
    /// A JSON array, in jsonb's normal form or not.
    Elements {
        normal: bool,
    },
    /// A JSON object.
    Members {
        normal: bool,
    },
    DistinctCount,
}

#[derive(Debug)]
struct Collect {
    kind: Kind,
    distinct: bool,
    /// The arguments' types.
    types: Vec<DataType>,
    /// What stands between texts, where it is the same for all.
    delimiter: Option<ScalarValue>,
}

/// A function of this name that puts values together.
pub(super) fn function(
    name: &'static str,
    arguments: &[Argument],
    order: &[OrderArgument],
    distinct: bool,
) -> Option<Arc<dyn AggregateFunction>> {
    let (kind, count) = match name {
        "array_agg" => (Kind::Array, 1),
        "string_agg" => (Kind::Text, 2),
        "json_agg" => (Kind::Elements { normal: false }, 1),
        "jsonb_agg" => (Kind::Elements { normal: true }, 1),
        "json_object_agg" => (Kind::Members { normal: false }, 2),
        "jsonb_object_agg" => (Kind::Members { normal: true }, 2),
        "approx_distinct" => (Kind::DistinctCount, 1),
        _ => return None,
    };
    if arguments.len() != count {
        return None;
    }
    let is_text = |argument: &Argument| matches!(argument.data_type, DataType::Utf8 | DataType::Binary);
    let is_one_type = || arguments.iter().all(|a| is_text(a) && a.data_type == arguments[0].data_type);
    if kind == Kind::Text && !is_one_type() {
        return None;
    }
    let delimiter = if kind == Kind::Text { arguments[1].constant.clone() } else { None };
    let arguments = if delimiter.is_some() { &arguments[..1] } else { arguments };
    let types: Vec<DataType> = arguments.iter().map(|argument| argument.data_type.clone()).collect();
    types.iter().all(RowCodec::supports).then(|| {
        Arc::new(OrderedFunction {
            name,
            elements: Elements::of_rows(types.clone(), order.to_vec()),
            skipped: if matches!(kind, Kind::Text | Kind::DistinctCount) { vec![0] } else { Vec::new() },
            canonical: (distinct || kind == Kind::DistinctCount).then_some(canonical_key),
            extreme: None,
            reading: Arc::new(Collect { kind, distinct, types, delimiter }),
        }) as Arc<dyn AggregateFunction>
    })
}

/// The values of some groups: columns with a row for each, and each group's rows.
struct Gathered {
    columns: Vec<ArrayRef>,
    groups: Vec<Range<usize>>,
}

impl Collect {
    fn gather(&self, sets: &ValueSets, slots: &[u32]) -> Gathered {
        let mut keys = Vec::new();
        let mut repeats: Vec<u32> = Vec::new();
        let mut groups = Vec::with_capacity(slots.len());
        for slot in slots {
            let start = repeats.len();
            sets.for_each(*slot, |key, count| {
                let copies = if self.distinct { 1 } else { count.max(0) as usize };
                repeats.extend(std::iter::repeat_n(keys.len() as u32, copies));
                keys.push(key);
                ControlFlow::Continue(())
            });
            groups.push(start..repeats.len());
        }
        let is_plain = repeats.len() == keys.len();
        let columns = sets.columns(keys.into_iter());
        if is_plain {
            return Gathered { columns, groups };
        }
        let places = UInt32Array::from(repeats);
        let repeated = |column: &ArrayRef| take(column, &places, None).unwrap_or_else(|_| Arc::clone(column));
        Gathered { columns: columns.iter().map(repeated).collect(), groups }
    }

    fn arrays(&self, gathered: &Gathered) -> ArrayRef {
        let lengths = gathered.groups.iter().map(ExactSizeIterator::len);
        let present: Vec<bool> = gathered.groups.iter().map(|group| !group.is_empty()).collect();
        let field = Arc::new(Field::new_list_field(self.types[0].clone(), true));
        let values = Arc::clone(&gathered.columns[0]);
        Arc::new(ListArray::new(field, OffsetBuffer::from_lengths(lengths), values, Some(present.into())))
    }

    /// The texts of a group, with what stands between them.
    fn text(&self, gathered: &Gathered, group: &Range<usize>) -> Result<Vec<u8>, PgError> {
        let constant = match &self.delimiter {
            Some(ScalarValue::Utf8(Some(text))) => text.as_bytes(),
            Some(ScalarValue::Binary(Some(bytes))) => bytes,
            _ => &[],
        };
        let mut out = Vec::new();
        for row in group.clone() {
            if row > group.start {
                out.extend_from_slice(gathered.columns.get(1).map_or(constant, |column| bytes_at(column, row)));
            }
            out.extend_from_slice(bytes_at(&gathered.columns[0], row));
            if out.len() > RESULT_BYTES_MAX {
                return Err(PgError::new(b"54000", "the result of an aggregate function is too long"));
            }
        }
        Ok(out)
    }

    fn json(&self, gathered: &Gathered, group: &Range<usize>) -> Result<Vec<u8>, PgError> {
        let clock = Clock::default();
        let columns = &gathered.columns;
        let mut out = String::new();
        match self.kind {
            Kind::Elements { normal: true } => {
                let elements = group.clone().map(|row| json_of(&columns[0], row, &clock)).collect::<Result<_, _>>()?;
                Json::Array(elements).write(&mut out);
            }
            Kind::Members { normal: true } => {
                let member = |row| Ok((member_name(columns, row, &clock)?, json_of(&columns[1], row, &clock)?));
                Json::object(group.clone().map(member).collect::<Result<_, PgError>>()?).write(&mut out);
            }
            Kind::Members { normal: false } => {
                for row in group.clone() {
                    out.push_str(if row == group.start { "{ " } else { ", " });
                    write_string(&member_name(columns, row, &clock)?, &mut out);
                    out.push_str(" : ");
                    write_json(&columns[1], row, &clock, &mut out)?;
                }
                out.push_str(" }");
            }
            _ => {
                let structured = matches!(self.types[0], DataType::List(_));
                for row in group.clone() {
                    let between = if structured { ", \n " } else { ", " };
                    out.push_str(if row == group.start { "[" } else { between });
                    write_json(&columns[0], row, &clock, &mut out)?;
                }
                out.push(']');
            }
        }
        match out.len() > RESULT_BYTES_MAX {
            true => Err(PgError::new(b"54000", "the result of an aggregate function is too long")),
            false => Ok(out.into_bytes()),
        }
    }
}

/// The name of an object's member.
fn member_name(columns: &[ArrayRef], row: usize, clock: &Clock) -> Result<String, PgError> {
    if columns[0].is_null(row) {
        return Err(PgError::invalid_parameter("field name must not be null"));
    }
    let mut name = String::new();
    write_value(columns[0].as_ref(), row, clock, &mut name);
    Ok(name)
}

/// A text or bytea; nothing for NULL.
fn bytes_at(column: &ArrayRef, row: usize) -> &[u8] {
    match column.data_type() {
        _ if column.is_null(row) => &[],
        DataType::Binary => column.as_binary::<i32>().value(row),
        _ => column.as_string::<i32>().value(row).as_bytes(),
    }
}

/// A column of these bytes, which are of the type; NULL where there are none.
fn column_of(texts: &[Option<Vec<u8>>], data_type: &DataType) -> ArrayRef {
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    let total = texts.iter().flatten().map(Vec::len).sum();
    match data_type {
        DataType::Binary => {
            let mut values = BinaryBuilder::with_capacity(texts.len(), total);
            texts.iter().for_each(|bytes| values.append_option(bytes.as_ref()));
            Arc::new(values.finish())
        }
        DataType::LargeUtf8 => {
            let mut values = LargeStringBuilder::with_capacity(texts.len(), total);
            texts.iter().for_each(|bytes| values.append_option(bytes.as_ref().map(text)));
            Arc::new(values.finish())
        }
        _ => {
            let mut values = StringBuilder::with_capacity(texts.len(), total);
            texts.iter().for_each(|bytes| values.append_option(bytes.as_ref().map(text)));
            Arc::new(values.finish())
        }
    }
}

impl Reading for Collect {
    fn result_type(&self) -> DataType {
        match self.kind {
            Kind::Array => DataType::List(Arc::new(Field::new_list_field(self.types[0].clone(), true))),
            Kind::Text => self.types[0].clone(),
            Kind::Elements { .. } | Kind::Members { .. } => DataType::LargeUtf8,
            Kind::DistinctCount => DataType::Int64,
        }
    }

    fn finish(&self, sets: &ValueSets, slots: &[u32]) -> Finished {
        if self.kind == Kind::DistinctCount {
            let counts: Int64Array = slots.iter().map(|slot| sets.summary(*slot).values as i64).collect();
            return Finished::from(Arc::new(counts) as ArrayRef);
        }
        let gathered = self.gather(sets, slots);
        if self.kind == Kind::Array {
            return Finished::from(self.arrays(&gathered));
        }
        let mut errors: Vec<(usize, RowError)> = Vec::new();
        let mut texts = Vec::with_capacity(slots.len());
        for (i, group) in gathered.groups.iter().enumerate() {
            let made = match self.kind {
                _ if group.is_empty() => Ok(None),
                Kind::Text => self.text(&gathered, group).map(Some),
                _ => self.json(&gathered, group).map(Some),
            };
            texts.push(made.unwrap_or_else(|error| {
                errors.push((i, error.into()));
                None
            }));
        }
        Finished { values: column_of(&texts, &self.result_type()), errors }
    }

    fn fallible(&self) -> bool {
        !matches!(self.kind, Kind::Array | Kind::DistinctCount)
    }

    fn parameters(&self) -> String {
        let distinct = if self.distinct { "distinct " } else { "" };
        match &self.delimiter {
            Some(delimiter) => format!("{distinct}{delimiter:?}"),
            None => distinct.trim().to_owned(),
        }
    }
}
