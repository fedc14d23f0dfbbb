//! Functions in FROM (`unnest`, `generate_series`, `jsonb_each`, …), with or without ordinality. Their arguments may name
//! columns of a query around them, which have values only when that query runs.
//!
//! A function's columns are arrays, each made by a scalar function of the arguments, whose items stand side by side.

use std::any::Any;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray, new_null_array,
};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
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

/// Stands at the end of a function's name when its rows are to be numbered.
pub const ORDINALITY_MARK: &str = " with ordinality";

/// The function whose rows are the options of a text array.
pub const OPTIONS_FUNCTION: &str = "pg_options_to_table";

/// A function's columns by their names, each with the function that gives its items as an array.
type Lists = &'static [(&'static str, &'static str)];

/// The functions whose columns are made by functions of all arguments.
const LIST_FUNCTIONS: &[(&str, Lists)] = &[
    ("generate_series", &[("generate_series", "generate_series")]),
    ("jsonb_array_elements", &[("value", "rows of jsonb_array_elements")]),
    ("jsonb_array_elements_text", &[("value", "rows of jsonb_array_elements_text")]),
    ("jsonb_each", &[("key", "rows of jsonb_object_keys"), ("value", "rows of jsonb_each")]),
    ("jsonb_each_text", &[("key", "rows of jsonb_object_keys"), ("value", "rows of jsonb_each_text")]),
    ("jsonb_object_keys", &[("jsonb_object_keys", "rows of jsonb_object_keys")]),
    ("string_to_table", &[("string_to_table", "string_to_array")]),
];

/// The names that a function's columns have whatever its alias is.
pub fn own_columns(function: &str) -> Option<Vec<&'static str>> {
    if function == OPTIONS_FUNCTION {
        return Some(vec!["option_name", "option_value"]);
    }
    let lists = lists_of(function)?;
    let names: Vec<&str> = lists.iter().map(|(column, _)| *column).collect();
    (names != [function]).then_some(names)
}

/// The function whose items a set-returning function in a SELECT list gives, if that has one column.
pub fn list_function(function: &str) -> Option<&'static str> {
    match lists_of(function)? {
        [(_, list)] => Some(list),
        _ => None,
    }
}

fn lists_of(function: &str) -> Option<Lists> {
    LIST_FUNCTIONS.iter().find(|(name, _)| *name == function).map(|(_, lists)| *lists)
}

/// A function in FROM.
#[derive(Clone, Debug)]
pub struct FunctionTable {
    function: Function,
    arguments: Vec<Expr>,
    options: Options,
    schema: SchemaRef,
    ordinality: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    /// The items of each argument.
    Unnest,
    /// The numbers of an array's items.
    GenerateSubscripts,
    /// The items of what these functions give.
    Lists(Lists),
    /// Texts `name=value` as names and values.
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
    let mut arguments = arguments.into_iter().map(|a| coercion.resolve(a, &schema)).collect::<Result<Vec<_>>>()?;
    let types = arguments.iter().map(|a| type_of(a, &schema)).collect::<Result<Vec<_>>>()?;
    let undefined = || {
        let types: Vec<_> = types.iter().map(SqlType::name).collect();
        failure(SqlError::new(b"42883", format!("function {name}({}) does not exist", types.join(", "))))
    };
    let text = || SqlType::new(DataType::Utf8);
    let (function, mut fields) = match (name, types.as_slice()) {
        ("unnest", [_, ..]) => {
            let items = types.iter().map(|t| Some(t.element()?.field(name, true))).collect::<Option<Vec<_>>>();
            (Function::Unnest, items.ok_or_else(undefined)?)
        }
        ("generate_subscripts", [array, dimension])
            if array.element().is_some() && dimension.data_type().is_integer() =>
        {
            (Function::GenerateSubscripts, vec![SqlType::new(DataType::Int32).field(name, true)])
        }
        (OPTIONS_FUNCTION, [array]) if array.is_array() => {
            let names = own_columns(name).unwrap_or_default();
            (Function::Options, names.into_iter().map(|column| text().field(column, true)).collect())
        }
        (name, types) => {
            let lists = lists_of(name).ok_or_else(undefined)?;
            let mut fields = Vec::with_capacity(lists.len());
            for (column, list) in lists {
                let function = registry().scalar(list).ok_or_else(undefined)?;
                let given: Vec<DataType> = types.iter().map(|t| t.data_type().clone()).collect();
                let wanted = function.coerce_types(&given).map_err(|_| undefined())?;
                for (argument, wanted) in arguments.iter_mut().zip(&wanted) {
                    *argument = coercion.cast(std::mem::take(argument), &SqlType::new(wanted.clone()), &schema)?;
                }
                let item = SqlType::new(function.return_type(&wanted)?).element().ok_or_else(undefined)?;
                fields.push(item.field(*column, true));
            }
            (Function::Lists(lists), fields)
        }
    };
    if ordinality {
        fields.push(Field::new("ordinality", DataType::Int64, true));
    }
    let schema = Arc::new(Schema::new(fields));
    let options = Arc::clone(&coercion.options);
    Ok(provider_as_source(Arc::new(FunctionTable { function, arguments, options, schema, ordinality })))
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

    /// The scan with other arguments.
    pub fn scan_with(mut self, arguments: Vec<Expr>, scan: TableScan) -> LogicalPlan {
        self.arguments = arguments;
        LogicalPlan::TableScan(TableScan { source: provider_as_source(Arc::new(self)), ..scan })
    }

    /// Its columns as arrays, of which `unnest` gives the rows; for these arguments.
    ///
    /// # Errors
    /// 0A000 for a function that reads the catalog.
    pub fn lists(&self, arguments: Vec<Expr>) -> Result<Vec<Expr>> {
        let call = |name: &str, arguments: Vec<Expr>| match registry().scalar(name) {
            Some(function) => Ok(function.call(arguments)),
            None => Err(failure(SqlError::internal(format!("there is no function {name}")))),
        };
        let cast = |expr: Expr, to: DataType| Expr::Cast(Cast::new(Box::new(expr), to));
        let numbers = |array: Expr| {
            let count = cast(call("cardinality", vec![array])?, DataType::Int64);
            call("generate_series", vec![lit(1_i64), count])
        };
        let mut lists = match self.function {
            Function::Unnest => arguments,
            Function::Lists(lists) => {
                lists.iter().map(|(_, list)| call(list, arguments.clone())).collect::<Result<_>>()?
            }
            Function::GenerateSubscripts => {
                let narrow = DataType::List(Arc::new(Field::new_list_field(DataType::Int32, true)));
                let array = arguments.into_iter().next().unwrap_or_default();
                vec![cast(numbers(array)?, narrow)]
            }
            Function::Options => return Err(failure(SqlError::unsupported(OPTIONS_FUNCTION))),
        };
        if self.ordinality {
            if lists.len() > 1 {
                return Err(failure(SqlError::unsupported("WITH ORDINALITY of several columns")));
            }
            lists.push(numbers(lists[0].clone())?);
        }
        Ok(lists)
    }

    fn rows(&self) -> Result<RecordBatch> {
        let value = |expr: &Expr| evaluate_constant(expr, &self.options)?.to_array();
        let mut columns = match self.function {
            Function::Options => options(&value(&self.arguments[0])?)?,
            _ => {
                let plain = FunctionTable { ordinality: false, ..self.clone() };
                let lists = plain.lists(self.arguments.clone())?;
                lists.iter().map(|list| Ok(items(&value(list)?))).collect::<Result<Vec<_>>>()?
            }
        };
        let count = columns.iter().map(|column| column.as_ref().map_or(0, |c| c.len())).max().unwrap_or(0);
        let mut whole: Vec<ArrayRef> = Vec::with_capacity(columns.len() + 1);
        for (column, field) in columns.drain(..).zip(self.schema.fields()) {
            let missing = |from: usize| new_null_array(field.data_type(), count - from);
            whole.push(match column {
                None => missing(0),
                Some(column) if column.len() == count => column,
                Some(column) => concat(&[column.as_ref(), missing(column.len()).as_ref()])?,
            });
        }
        if self.ordinality {
            whole.push(Arc::new(Int64Array::from_iter_values((1..).take(count))));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), whole, &options)?)
    }
}

/// The items of a single array value; none for NULL.
fn items(array: &ArrayRef) -> Option<ArrayRef> {
    match array.as_list_opt::<i32>() {
        Some(list) if list.is_valid(0) => Some(list.value(0)),
        _ => None,
    }
}

/// Names and values of options; one without a value has NULL.
fn options(array: &ArrayRef) -> Result<Vec<Option<ArrayRef>>> {
    let items = items(array).unwrap_or_else(|| new_null_array(&DataType::Utf8, 0));
    let texts = items.as_string::<i32>();
    let pairs = texts.iter().flatten().map(|text| match text.split_once('=') {
        Some((name, value)) => (Some(name), Some(value)),
        None => (Some(text), None),
    });
    let (names, values): (Vec<_>, Vec<_>) = pairs.unzip();
    Ok(vec![Some(Arc::new(StringArray::from(names))), Some(Arc::new(StringArray::from(values)))])
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
