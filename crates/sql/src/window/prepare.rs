//! The calls of one window, taken apart.

use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{NullTreatment, Sort, WindowFunction as Call};
use datafusion::logical_expr::{Expr, ExprSchemable, WindowFunctionDefinition};

use arrow::datatypes::DataType;
use dataflow::operators::window::{Exclude, Frame, Window, WindowCall, WindowFunction};
use functions::aggregate::{is_constant_argument, takes_order};
use functions::{Argument, OrderArgument, aggregate_function, ordered_aggregate};
use state::SortColumn;

use super::EXCLUDE_MARK;
use super::frame::{frame_of, sort_key_of};
use crate::SqlError;
use crate::bind::sql_error;

/// Calls over the same partitions and order. Columns are places in `columns`.
#[derive(Debug)]
pub struct Prepared {
    /// What is needed of each row.
    pub columns: Vec<Expr>,
    /// How many calls there are, beginning with the first that had not been prepared.
    pub call_count: usize,
    partition: Vec<usize>,
    order: Vec<(usize, bool, bool)>,
    calls: Vec<WindowCall>,
}

impl Prepared {
    /// The operator, when the columns are at these places.
    pub fn window(&self, places: &[usize], order_text: String) -> Window {
        let mut partition: Vec<usize> = Vec::new();
        for column in self.partition.iter().map(|column| places[*column]) {
            if !partition.contains(&column) {
                partition.push(column);
            }
        }
        let order = self.order.iter().map(|(column, descending, nulls_first)| SortColumn {
            column: places[*column],
            descending: *descending,
            nulls_first: *nulls_first,
        });
        let calls = self.calls.iter().map(|call| {
            let mut call = call.clone();
            call.arguments.iter_mut().for_each(|column| *column = places[*column]);
            call.filter = call.filter.map(|column| places[column]);
            for bound in [&mut call.frame.start, &mut call.frame.end] {
                if let dataflow::operators::window::Bound::Value(column) = bound {
                    *column = places[*column];
                }
            }
            call
        });
        Window { partition, order: order.collect(), calls: calls.collect(), order_text }
    }

    /// The place of an expression among the columns.
    pub(super) fn place(&mut self, expr: &Expr) -> usize {
        let expr = expr.clone().unalias();
        self.columns.iter().position(|column| *column == expr).unwrap_or_else(|| {
            self.columns.push(expr);
            self.columns.len() - 1
        })
    }
}

fn refused(what: impl std::fmt::Display) -> SqlError {
    SqlError::new(b"0A000", format!("{what} is not supported"))
}

fn call_of(expr: &Expr) -> Option<&Call> {
    match expr {
        Expr::Alias(alias) => call_of(&alias.expr),
        Expr::WindowFunction(call) => Some(call),
        _ => None,
    }
}

/// Whether two calls are over the same partitions in the same order.
pub fn same_window(one: &Expr, other: &Expr) -> bool {
    let (Some(one), Some(other)) = (call_of(one), call_of(other)) else { return false };
    without_mark(&one.params.partition_by).eq(without_mark(&other.params.partition_by))
        && one.params.order_by == other.params.order_by
}

/// Takes apart the first calls of a list, those over the same window. `fields` are the calls' results, `text` their text.
///
/// # Errors
/// 0A000 for what the operator cannot do; what is wrong with a call.
pub fn prepare(
    exprs: &[Expr],
    results: &[DataType],
    schema: &DFSchema,
    text: &dyn Fn(&Expr) -> String,
) -> Result<Prepared, SqlError> {
    let Some(first) = exprs.first().and_then(call_of) else {
        return Err(SqlError::internal("a window without a function"));
    };
    let mut prepared = Prepared {
        columns: Vec::new(),
        call_count: exprs.iter().take_while(|expr| same_window(&exprs[0], expr)).count(),
        partition: Vec::new(),
        order: Vec::new(),
        calls: Vec::new(),
    };
    prepared.partition = without_mark(&first.params.partition_by).map(|expr| prepared.place(expr)).collect();
    let calls: Vec<&Call> = exprs[..prepared.call_count].iter().filter_map(call_of).collect();
    let keys = order_keys(&calls, schema)?;
    prepared.order = keys.iter().map(|key| (prepared.place(&key.expr), !key.asc, key.nulls_first)).collect();
    for ((call, expr), result) in calls.iter().zip(exprs).zip(results) {
        let call = prepare_call(&mut prepared, call, &keys, result, schema, text(expr))?;
        prepared.calls.push(call);
    }
    Ok(prepared)
}

/// The sort keys; a key that RANGE frames add to has the type of the sums.
fn order_keys(calls: &[&Call], schema: &DFSchema) -> Result<Vec<Sort>, SqlError> {
    let mut keys = calls[0].params.order_by.clone();
    for call in calls {
        if let Some(key) = sort_key_of(&call.params.window_frame, &call.params.order_by, schema)? {
            let widened = key.expr != call.params.order_by[0].expr;
            if keys[0].expr != key.expr && keys[0].expr != call.params.order_by[0].expr && widened {
                return Err(refused("several RANGE frames with offsets of different types over one window"));
            }
            if widened {
                keys[0] = key;
            }
        }
    }
    Ok(keys)
}

/// The partition keys that the user wrote.
fn without_mark(partition: &[Expr]) -> impl Iterator<Item = &Expr> {
    partition.iter().filter(|expr| exclude_of(expr).is_none())
}

fn exclude_of(expr: &Expr) -> Option<Exclude> {
    let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = expr else { return None };
    match text.strip_prefix(EXCLUDE_MARK)? {
        "current row" => Some(Exclude::CurrentRow),
        "group" => Some(Exclude::Group),
        "ties" => Some(Exclude::Ties),
        "no others" => Some(Exclude::NoOthers),
        _ => None,
    }
}

fn prepare_call(
    prepared: &mut Prepared,
    call: &Call,
    keys: &[Sort],
    result: &DataType,
    schema: &DFSchema,
    text: String,
) -> Result<WindowCall, SqlError> {
    let params = &call.params;
    let name = call.fun.name();
    if params.distinct {
        return Err(SqlError::new(b"0A000", "DISTINCT is not implemented for window functions"));
    }
    if params.null_treatment == Some(NullTreatment::IgnoreNulls) {
        return Err(refused("IGNORE NULLS"));
    }
    let is_aggregate = matches!(&call.fun, WindowFunctionDefinition::AggregateUDF(_))
        && !matches!(name, "first_value" | "last_value" | "nth_value");
    if params.filter.is_some() && !is_aggregate {
        let message = "FILTER is not implemented for non-aggregate window functions";
        return Err(SqlError::new(b"0A000", message));
    }
    let exclude = params.partition_by.iter().find_map(exclude_of).unwrap_or(Exclude::NoOthers);
    let mut frame = Frame { exclude, ..Frame::DEFAULT };
    let (function, arguments) = if is_aggregate {
        frame = frame_of(&params.window_frame, exclude, keys, prepared, schema)?;
        aggregate(name, &params.args, schema)?
    } else {
        if matches!(name, "first_value" | "last_value" | "nth_value") {
            frame = frame_of(&params.window_frame, exclude, keys, prepared, schema)?;
        }
        window_function(name, &params.args, schema)?
    };
    Ok(WindowCall {
        function,
        arguments: arguments.iter().map(|argument| prepared.place(argument)).collect(),
        filter: params.filter.as_ref().map(|filter| prepared.place(filter)),
        frame,
        result: result.clone(),
        text,
    })
}

fn aggregate(name: &str, args: &[Expr], schema: &DFSchema) -> Result<(WindowFunction, Vec<Expr>), SqlError> {
    let counts_rows = name == "count" && matches!(args, [Expr::Literal(value, _)] if !value.is_null());
    let args = if counts_rows { Vec::new() } else { args.to_vec() };
    let mut types = Vec::with_capacity(args.len());
    let mut columns = Vec::with_capacity(args.len());
    for (place, arg) in args.iter().enumerate() {
        let data_type = arg.get_type(schema).map_err(|e| sql_error(&e))?;
        let constant = match arg {
            Expr::Literal(value, _) if is_constant_argument(name, place) => Some(value.clone()),
            _ => None,
        };
        if constant.is_none() {
            columns.push(arg.clone());
        }
        types.push(Argument { data_type, nullable: true, constant });
    }
    if takes_order(name) {
        // In the order of the frame's rows.
        let place = OrderArgument { data_type: DataType::Int64, descending: false, nulls_first: false };
        if let Some(function) = ordered_aggregate(name, &types, &[place], false) {
            return Ok((WindowFunction::OrderedAggregate(function), columns));
        }
    }
    match aggregate_function(name, &types) {
        Some(function) => Ok((WindowFunction::Aggregate(function), columns)),
        None => Err(refused(format!("aggregate function {name} over a window"))),
    }
}

fn window_function(name: &str, args: &[Expr], schema: &DFSchema) -> Result<(WindowFunction, Vec<Expr>), SqlError> {
    let constant = |place: usize| match args.get(place).map(whole_number) {
        Some(Some(number)) => Ok(number),
        _ => Err(refused(format!("{name} with a number that is not constant"))),
    };
    let first = || args.first().cloned().into_iter().collect::<Vec<_>>();
    Ok(match name {
        "row_number" => (WindowFunction::RowNumber, Vec::new()),
        "rank" => (WindowFunction::Rank, Vec::new()),
        "dense_rank" => (WindowFunction::DenseRank, Vec::new()),
        "percent_rank" => (WindowFunction::PercentRank, Vec::new()),
        "cume_dist" => (WindowFunction::CumeDist, Vec::new()),
        "ntile" => match constant(0)? {
            Some(number) if number < 1 => {
                return Err(SqlError::new(b"22014", "argument of ntile must be greater than zero"));
            }
            number => (WindowFunction::Ntile(number.map(i64::unsigned_abs)), Vec::new()),
        },
        "nth_value" => match constant(1)? {
            Some(number) if number < 1 => {
                return Err(SqlError::new(b"22016", "argument of nth_value must be greater than zero"));
            }
            number => (WindowFunction::NthValue(number.map(i64::unsigned_abs)), first()),
        },
        "first_value" => (WindowFunction::FirstValue, first()),
        "last_value" => (WindowFunction::LastValue, first()),
        "lag" | "lead" => {
            let offset = if args.len() > 1 { constant(1)? } else { Some(1) };
            let offset = offset.map(|offset| if name == "lag" { offset } else { -offset });
            let mut columns = first();
            if let (Some(default), Some(value)) = (args.get(2), args.first())
                && !matches!(default, Expr::Literal(value, _) if value.is_null())
            {
                let wanted = value.get_type(schema).map_err(|e| sql_error(&e))?;
                columns.push(default.clone().cast_to(&wanted, schema).map_err(|e| sql_error(&e))?);
            }
            (WindowFunction::Lag(offset), columns)
        }
        other => return Err(refused(format!("window function {other}"))),
    })
}

/// The number that a literal is; `Some(None)` for NULL.
fn whole_number(expr: &Expr) -> Option<Option<i64>> {
    let Expr::Literal(value, _) = expr else { return None };
    if value.is_null() {
        return Some(None);
    }
    match value.cast_to(&DataType::Int64) {
        Ok(ScalarValue::Int64(number)) => Some(number),
        _ => None,
    }
}
