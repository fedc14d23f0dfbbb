//! Functions in FROM: `unnest` and `generate_series`, with or without ordinality. Their arguments may name columns of
//! a query around them, which have values only when that query runs.

use std::any::Any;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, Result};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan, TableSource, TableType, lit};
use datafusion::physical_plan::ExecutionPlan;

use super::coerce::{Coercion, type_of};
use super::constant::{Options, evaluate_constant};
use super::{failure, registry};
use crate::{SqlError, SqlType};

/// The most rows that `generate_series` gives in one go.
const SERIES_ROWS_MAX: i64 = 100_000_000;

/// Stands at the end of a function's name when its rows are to be numbered.
pub const ORDINALITY_MARK: &str = " with ordinality";

/// The function whose rows have two columns, and these.
pub const OPTIONS_FUNCTION: &str = "pg_options_to_table";
pub const OPTION_COLUMNS: [&str; 2] = ["option_name", "option_value"];

/// A function in FROM.
#[derive(Clone, Debug)]
pub struct FunctionTable {
    function: Function,
    arguments: Vec<Expr>,
    options: Options,
    schema: SchemaRef,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Unnest,
    GenerateSeries,
    GenerateSubscripts,
    /// `pg_options_to_table`: texts `name=value` as names and values.
    Options,
}

/// The rows of a function in FROM.
pub fn source(name: &str, arguments: Vec<Expr>, coercion: &Coercion) -> Result<Arc<dyn TableSource>> {
    let name = name.trim_matches('"');
    let (name, ordinality) = match name.strip_suffix(ORDINALITY_MARK) {
        Some(name) => (name, true),
        None => (name, false),
    };
    let schema = DFSchema::empty();
    let arguments = arguments.into_iter().map(|a| coercion.resolve(a, &schema)).collect::<Result<Vec<_>>>()?;
    let types = arguments.iter().map(|a| type_of(a, &schema)).collect::<Result<Vec<_>>>()?;
    let undefined = || {
        let types: Vec<_> = types.iter().map(SqlType::name).collect();
        failure(SqlError::new(b"42883", format!("function {name}({}) does not exist", types.join(", "))))
    };
    let integers = types.iter().all(|t| t.data_type().is_integer());
    let (function, value) = match (name, types.as_slice()) {
        ("unnest", [array]) => (Function::Unnest, array.element().ok_or_else(undefined)?),
        ("generate_series", [_, _] | [_, _, _]) if integers => {
            let wide = types.iter().any(|t| *t.data_type() == DataType::Int64);
            (Function::GenerateSeries, SqlType::new(if wide { DataType::Int64 } else { DataType::Int32 }))
        }
        ("generate_subscripts", [array, dimension])
            if array.element().is_some() && dimension.data_type().is_integer() =>
        {
            (Function::GenerateSubscripts, SqlType::new(DataType::Int32))
        }
        (OPTIONS_FUNCTION, [array]) if array.is_array() => (Function::Options, SqlType::new(DataType::Utf8)),
        _ => return Err(undefined()),
    };
    let mut fields = vec![value.field(name, true)];
    if function == Function::Options {
        fields = OPTION_COLUMNS.iter().map(|column| value.field(*column, true)).collect();
    }
    if ordinality {
        fields.push(Field::new("ordinality", DataType::Int64, false));
    }
    let schema = Arc::new(Schema::new(fields));
    let options = Arc::clone(&coercion.options);
    Ok(provider_as_source(Arc::new(FunctionTable { function, arguments, options, schema })))
}

impl FunctionTable {
    /// The function that a scan reads, if it is one.
    pub fn of(scan: &TableScan) -> Option<FunctionTable> {
        let provider = source_as_provider(&scan.source).ok()?;
        (provider.as_ref() as &dyn Any).downcast_ref::<FunctionTable>().cloned()
    }

    /// Its arguments.
    pub fn arguments(&self) -> &[Expr] {
        &self.arguments
    }

    /// Its columns as arrays, of which `unnest` gives the rows; for these arguments.
    pub fn lists(&self, arguments: Vec<Expr>) -> Result<Vec<Expr>> {
        let call = |name: &str, arguments: Vec<Expr>| match registry().scalar(name) {
            Some(function) => Ok(function.call(arguments)),
            None => Err(failure(SqlError::internal(format!("there is no function {name}")))),
        };
        let first = arguments.first().cloned().unwrap_or_default();
        let wide = |expr: Expr| Expr::Cast(Cast::new(Box::new(expr), DataType::Int64));
        let numbers = |array: Expr| call("generate_series", vec![lit(1_i64), wide(call("cardinality", vec![array])?)]);
        let item = |place: usize| self.schema.field(place).data_type().clone();
        let list_of = |list: Expr, item: DataType| {
            let list_type = DataType::List(Arc::new(Field::new_list_field(item, true)));
            Expr::Cast(Cast::new(Box::new(list), list_type))
        };
        let list = match self.function {
            Function::Unnest => first,
            Function::GenerateSeries => {
                let arguments = arguments.into_iter().map(wide).collect();
                list_of(call("generate_series", arguments)?, item(0))
            }
            Function::GenerateSubscripts => list_of(numbers(first)?, item(0)),
            Function::Options => return Err(failure(SqlError::unsupported(OPTIONS_FUNCTION))),
        };
        let mut lists = vec![list.clone()];
        if self.schema.fields().len() > 1 {
            lists.push(numbers(list)?);
        }
        Ok(lists)
    }

    /// The scan with other arguments.
    pub fn scan_with(mut self, arguments: Vec<Expr>, scan: TableScan) -> LogicalPlan {
        self.arguments = arguments;
        LogicalPlan::TableScan(TableScan { source: provider_as_source(Arc::new(self)), ..scan })
    }

    fn rows(&self) -> Result<RecordBatch> {
        let values: Vec<ArrayRef> =
            self.arguments.iter().map(|a| evaluate_constant(a, &self.options)?.to_array()).collect::<Result<_>>()?;
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(2);
        let column: ArrayRef = match self.function {
            Function::Options => {
                let (names, values) = options(&values[0])?;
                columns.push(names);
                values
            }
            Function::Unnest => items(&values[0], self.schema.field(0).data_type())?,
            Function::GenerateSeries => cast(&series(&values)?, self.schema.field(0).data_type())?,
            Function::GenerateSubscripts => {
                let count = items(&values[0], &DataType::Null).map_or(0, |a| a.len());
                let count = i32::try_from(count).map_err(|e| failure(SqlError::internal(e.to_string())))?;
                Arc::new(Int32Array::from_iter_values(1..=count))
            }
        };
        let count = column.len();
        columns.push(column);
        if self.schema.fields().len() > columns.len() {
            columns.push(Arc::new(Int64Array::from_iter_values((1..).take(count))));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

/// The items of a single array value.
fn items(array: &ArrayRef, item: &DataType) -> Result<ArrayRef> {
    match array.as_list_opt::<i32>() {
        Some(list) if list.is_valid(0) => Ok(list.value(0)),
        _ => Ok(arrow::array::new_empty_array(item)),
    }
}

/// Names and values of options; one without a value has NULL.
fn options(array: &ArrayRef) -> Result<(ArrayRef, ArrayRef)> {
    let items = items(array, &DataType::Utf8)?;
    let texts = items.as_string::<i32>();
    let pairs = texts.iter().flatten().map(|text| match text.split_once('=') {
        Some((name, value)) => (Some(name), Some(value)),
        None => (Some(text), None),
    });
    let (names, values): (Vec<_>, Vec<_>) = pairs.unzip();
    Ok((Arc::new(StringArray::from(names)), Arc::new(StringArray::from(values))))
}

fn series(values: &[ArrayRef]) -> Result<ArrayRef> {
    let mut bounds = Vec::with_capacity(3);
    for value in values {
        let value = cast(value, &DataType::Int64)?;
        if value.is_null(0) {
            return Ok(Arc::new(Int64Array::from_iter_values([])));
        }
        bounds.push(value.as_primitive::<Int64Type>().value(0));
    }
    let (start, stop, step) = (bounds[0], bounds[1], bounds.get(2).copied().unwrap_or(1));
    if step == 0 {
        return Err(failure(SqlError::new(b"22023", "step size cannot equal zero")));
    }
    let count = (i128::from(stop) - i128::from(start)) / i128::from(step);
    if count >= i128::from(SERIES_ROWS_MAX) {
        let message = format!("generate_series of more than {SERIES_ROWS_MAX} rows is not supported");
        return Err(failure(SqlError::new(b"54000", message)));
    }
    let mut series = Vec::new();
    let mut next = Some(start);
    while let Some(value) = next.filter(|v| if step > 0 { *v <= stop } else { *v >= stop }) {
        series.push(value);
        next = value.checked_add(step);
    }
    Ok(Arc::new(Int64Array::from(series)))
}

#[async_trait]
impl TableProvider for FunctionTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = vec![vec![self.rows()?]];
        let plan: Arc<dyn ExecutionPlan> =
            MemorySourceConfig::try_new_exec(&rows, Arc::clone(&self.schema), projection.cloned())?;
        Ok(plan)
    }
}
