//! Lowers what only the first rows of an order are wanted of to a top-n operator.
//!
//! 1. LIMIT over a sort (projections may stand between): the sort becomes the top-n. Without a sort, rows are ordered by all
//!    their columns.
//! 2. A filter that compares `row_number()`, `rank()` or `dense_rank()` with a literal: the window becomes a top-n per
//!    partition, which also gives the number if anything above looks at it.

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema};
use changelog::ChangelogMode;
use dataflow::operators::top_n::{Measure, RowNumber, TopN};
use dataflow::{Column, Expression, OperatorSpec};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{BinaryExpr, Sort as SortKey, WindowFunction};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    Expr, ExprSchemable, FetchType, Filter, Limit, LogicalPlan, Operator, Projection, SkipType, Sort, Window,
    WindowFunctionDefinition,
};
use state::SortColumn;

use super::{Construct, Lowered, Lowering};
use crate::SqlError;
use crate::bind::from_plan_error;
use crate::rules::ordered_limit::sort_below;

/// Which rows of an order are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slice {
    offset: u64,
    limit: Option<u64>,
}

/// A node that is to give a slice only; it is looked at once.
#[derive(Debug)]
pub(super) struct Wanted {
    node: *const LogicalPlan,
    slice: Slice,
    /// Whether anything above looks at the number of the rows.
    number_is_used: bool,
}

/// A filter over numbered rows, taken apart.
pub(super) struct Ranked<'p> {
    window: &'p LogicalPlan,
    /// The column of the filter's input that has the number.
    column: usize,
    slice: Slice,
    /// What is left of the predicate.
    rest: Option<Expr>,
}

/// A row's number in the words of the operator, and what it counts.
fn ranking(expr: &Expr) -> Option<(&WindowFunction, RowNumber, Measure)> {
    let Expr::WindowFunction(call) = (match expr {
        Expr::Alias(alias) => alias.expr.as_ref(),
        other => other,
    }) else {
        return None;
    };
    let WindowFunctionDefinition::WindowUDF(function) = &call.fun else { return None };
    match function.name() {
        "row_number" => Some((call, RowNumber::RowNumber, Measure::Rows)),
        "rank" => Some((call, RowNumber::Rank, Measure::RowsWithTies)),
        "dense_rank" => Some((call, RowNumber::DenseRank, Measure::PeerGroups)),
        _ => None,
    }
}

impl Lowering<'_> {
    pub(super) fn limit(&mut self, limit: &Limit) -> Result<Lowered, SqlError> {
        let convert = |e| from_plan_error(&e, self.query);
        let slice = match (limit.get_skip_type().map_err(convert)?, limit.get_fetch_type().map_err(convert)?) {
            (SkipType::Literal(skip), FetchType::Literal(fetch)) => {
                Slice { offset: skip as u64, limit: fetch.map(|n| n as u64) }
            }
            _ => return Err(self.refuse(&Construct::Limit)),
        };
        if slice == Slice::default() {
            return self.node(&limit.input);
        }
        if let Some(sort) = sort_below(&limit.input) {
            let node = std::ptr::from_ref(sort).cast();
            self.wanted.push(Wanted { node, slice, number_is_used: false });
            return self.node(&limit.input);
        }
        let input = self.node(&limit.input)?;
        self.top_n(input, limit.input.schema(), Order { partition: &[], keys: &[] }, slice, Measure::Rows, None)
    }

    pub(super) fn sort(&mut self, sort: &Sort) -> Result<Lowered, SqlError> {
        let wanted = self.take_wanted(std::ptr::from_ref(sort).cast());
        let input = self.node(&sort.input)?;
        let mut slice = wanted.map(|wanted| wanted.slice).unwrap_or_default();
        if let Some(fetch) = sort.fetch {
            slice.limit = Some(slice.limit.map_or(fetch as u64, |limit| limit.min(fetch as u64)));
        }
        if slice == Slice::default() {
            // The rows of a relation have no order.
            return Ok(input);
        }
        let keys = without_tie_break(&sort.expr, sort.input.schema());
        self.top_n(input, sort.input.schema(), Order { partition: &[], keys }, slice, Measure::Rows, None)
    }

    fn take_wanted(&mut self, node: *const LogicalPlan) -> Option<Wanted> {
        let place = self.wanted.iter().position(|wanted| wanted.node == node)?;
        Some(self.wanted.swap_remove(place))
    }

    /// The window's rows, if a filter wants the first of each partition only.
    pub(super) fn numbered(&mut self, window: &Window) -> Option<Result<Lowered, SqlError>> {
        let wanted = self.take_wanted(std::ptr::from_ref(window).cast())?;
        let (call, number, measure) = ranking(window.window_expr.first()?)?;
        let field = Arc::clone(window.schema.fields().last()?);
        let number = (wanted.number_is_used.then_some(number), field);
        Some(self.node(&window.input).and_then(|input| {
            let schema = window.input.schema();
            let keys = match measure {
                Measure::Rows => without_tie_break(&call.params.order_by, schema),
                _ => &call.params.order_by,
            };
            let order = Order { partition: &call.params.partition_by, keys };
            self.top_n(input, schema, order, wanted.slice, measure, Some(number))
        }))
    }

    /// A filter; over numbered rows of which only the first are wanted, it makes a top-n of the window.
    pub(super) fn filter(&mut self, filter: &Filter, above: Option<&[Expr]>) -> Result<Lowered, SqlError> {
        let ranked = Ranked::of(filter);
        let predicate = match ranked {
            None => Some(filter.predicate.clone()),
            Some(Ranked { window, column, slice, rest }) => {
                let column = filter.input.schema().qualified_field(column);
                let column = Expr::Column(column.into());
                let names = |expr: &Expr| expr.column_refs().iter().any(|c| Expr::Column((*c).clone()) == column);
                let number_is_used = above.is_none_or(|exprs| exprs.iter().any(names)) || rest.iter().any(names);
                let node = match window {
                    LogicalPlan::Window(window) => std::ptr::from_ref(window).cast(),
                    _ => std::ptr::from_ref(window),
                };
                self.wanted.push(Wanted { node, slice, number_is_used });
                rest
            }
        };
        let input = self.node(&filter.input)?;
        let Some(predicate) = predicate else { return Ok(input) };
        let text = self.names.predicate(&predicate);
        let predicate = self.expression_with_text(&predicate, filter.input.schema(), text)?;
        let (schema, mode) = (Arc::clone(&self.nodes[input.node].schema), self.nodes[input.node].mode);
        let node = self.push(OperatorSpec::Filter { predicate }, vec![input.node], schema, mode);
        Ok(Lowered { node, unique: input.unique })
    }

    /// The input of a projection that is a filter, perhaps over rows that only the projection looks at.
    pub(super) fn below_projection(&mut self, projection: &Projection) -> Result<Lowered, SqlError> {
        let mut below = projection.input.as_ref();
        while let LogicalPlan::Sort(sort) = below
            && sort.fetch.is_none()
            && !self.wanted.iter().any(|wanted| wanted.node == std::ptr::from_ref(sort).cast())
        {
            below = &sort.input;
        }
        match below {
            LogicalPlan::Filter(filter) => self.filter(filter, Some(&projection.expr)),
            other => self.node(other),
        }
    }

    fn top_n(
        &mut self,
        input: Lowered,
        schema: &DFSchema,
        order: Order<'_>,
        slice: Slice,
        measure: Measure,
        number: Option<(Option<RowNumber>, FieldRef)>,
    ) -> Result<Lowered, SqlError> {
        let width = self.nodes[input.node].schema.fields().len();
        let exprs: Vec<Expr> =
            order.partition.iter().cloned().chain(order.keys.iter().map(|key| key.expr.clone())).collect();
        let (below, places) = self.with_columns(input.node, schema, &exprs)?;
        let (partition, sorted) = places.split_at(order.partition.len());
        let order_columns = sorted.iter().zip(order.keys).map(|(column, key)| SortColumn {
            column: *column,
            descending: !key.asc,
            nulls_first: key.nulls_first,
        });
        let mut distinct = partition.to_vec();
        distinct.dedup();
        let spec = TopN {
            partition: distinct,
            order: order_columns.collect(),
            offset: slice.offset,
            limit: slice.limit,
            measure,
            number: number.as_ref().and_then(|(number, _)| *number),
            order_text: order.keys.iter().map(|key| self.names.sort(key)).collect::<Vec<_>>().join(", "),
        };
        let mut fields = self.nodes[below].schema.fields().to_vec();
        let computed = fields.len() - width;
        if let Some((_, field)) = &number {
            let name = self.names.column(field.name());
            fields.push(Arc::new(field.as_ref().clone().with_name(name).with_nullable(true)));
        }
        let output = Arc::new(Schema::new(fields));
        let mode = ChangelogMode::Retracting;
        let mut node = self.push(OperatorSpec::Keyed(Arc::new(spec)), vec![below], Arc::clone(&output), mode);
        if computed > 0 {
            let kept: Vec<usize> = (0..width).chain(width + computed..output.fields().len()).collect();
            let expressions = kept.iter().map(|column| column_expression(&output, *column)).collect();
            let fields: Vec<FieldRef> = kept.iter().map(|column| Arc::clone(&output.fields()[*column])).collect();
            node = self.push(OperatorSpec::Project { expressions }, vec![node], Arc::new(Schema::new(fields)), mode);
        }
        Ok(Lowered { node, unique: input.unique })
    }

    /// Where the expressions are among a node's columns; those that are no columns are added at the end.
    pub(super) fn with_columns(
        &mut self,
        node: usize,
        schema: &DFSchema,
        exprs: &[Expr],
    ) -> Result<(usize, Vec<usize>), SqlError> {
        let input = Arc::clone(&self.nodes[node].schema);
        let mut fields = input.fields().to_vec();
        let mut expressions: Vec<Arc<dyn Expression>> =
            (0..fields.len()).map(|column| column_expression(&input, column)).collect();
        let mut added: Vec<(Expr, usize)> = Vec::new();
        let mut places = Vec::with_capacity(exprs.len());
        for expr in exprs {
            let expr = expr.clone().unalias();
            let expression = self.expression(&expr, schema)?;
            if let Some(place) = expression.column() {
                places.push(place);
                continue;
            }
            if let Some((_, place)) = added.iter().find(|(other, _)| *other == expr) {
                places.push(*place);
                continue;
            }
            places.push(fields.len());
            added.push((expr.clone(), fields.len()));
            let metadata = expr.to_field(schema).map(|f| f.1.metadata().clone()).unwrap_or_default();
            let field = Field::new(self.names.text(&expr), expression.data_type(), expression.nullable());
            fields.push(Arc::new(field.with_metadata(metadata)));
            expressions.push(expression);
        }
        if added.is_empty() {
            return Ok((node, places));
        }
        let mode = self.nodes[node].mode;
        let schema = Arc::new(Schema::new(fields));
        Ok((self.push(OperatorSpec::Project { expressions }, vec![node], schema, mode), places))
    }
}

/// Partition and sort keys of a window or sort.
struct Order<'a> {
    partition: &'a [Expr],
    keys: &'a [SortKey],
}

pub(super) fn column_expression(schema: &Schema, index: usize) -> Arc<dyn Expression> {
    let field = schema.field(index);
    let (data_type, nullable) = (field.data_type().clone(), field.is_nullable());
    Arc::new(Column { index, name: field.name().clone(), data_type, nullable })
}

/// The sort keys without those at the end that order rows as the operator orders peers anyway.
fn without_tie_break<'k>(keys: &'k [SortKey], schema: &DFSchema) -> &'k [SortKey] {
    let place = |key: &SortKey| match &key.expr {
        Expr::Column(column) => schema.maybe_index_of_column(column),
        _ => None,
    };
    let mut first = keys.len();
    while let Some(before) = first.checked_sub(1) {
        let key = &keys[before];
        let ascends = match (place(key), keys.get(first).and_then(place)) {
            (Some(this), Some(next)) => this < next,
            (this, _) => this.is_some(),
        };
        if !ascends || !key.asc || !key.nulls_first {
            break;
        }
        first = before;
    }
    let named: Vec<usize> = keys.iter().filter_map(place).collect();
    if (0..schema.fields().len()).all(|column| named.contains(&column)) { &keys[..first] } else { keys }
}

impl<'p> Ranked<'p> {
    fn of(filter: &'p Filter) -> Option<Ranked<'p>> {
        let schema = filter.input.schema();
        let mut ranked: Option<Ranked<'p>> = None;
        let mut rest = Vec::new();
        for conjunct in split_conjunction(&filter.predicate) {
            let bound = Bound::of(conjunct, schema);
            let column = bound.as_ref().map(|bound| bound.column);
            let found = match &ranked {
                Some(ranked) => bound.filter(|_| column == Some(ranked.column)).map(|b| (b, ranked.window)),
                None => bound.and_then(|b| numbering(&filter.input, b.column).map(|window| (b, window))),
            };
            let taken = found.and_then(|(bound, window)| {
                let slice = ranked.as_ref().map(|r| r.slice).unwrap_or_default();
                let slice = bound.narrow(slice, window)?;
                Some(Ranked { window, column: bound.column, slice, rest: None })
            });
            match taken {
                Some(taken) => ranked = Some(taken),
                None => rest.push(conjunct.clone()),
            }
        }
        let ranked = ranked.filter(|ranked| ranked.slice != Slice::default())?;
        Some(Ranked { rest: conjunction(rest), ..ranked })
    }
}

/// What a comparison says of a column: it is at least `low`, and at most `high`.
struct Bound {
    column: usize,
    low: Option<i128>,
    high: Option<i128>,
}

impl Bound {
    fn of(conjunct: &Expr, schema: &DFSchema) -> Option<Bound> {
        if let Expr::Between(between) = conjunct
            && !between.negated
        {
            let (low, high) = (whole_number(&between.low)?, whole_number(&between.high)?);
            return Some(Bound { column: column_of(&between.expr, schema)?, low: Some(low), high: Some(high) });
        }
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = conjunct else { return None };
        let (column, op, value) = match (column_of(left, schema), column_of(right, schema)) {
            (Some(column), None) => (column, *op, whole_number(right)?),
            (None, Some(column)) => (column, op.swap()?, whole_number(left)?),
            _ => return None,
        };
        let (low, high) = match op {
            Operator::Eq => (Some(value), Some(value)),
            Operator::Lt => (None, Some(value - 1)),
            Operator::LtEq => (None, Some(value)),
            Operator::Gt => (Some(value + 1), None),
            Operator::GtEq => (Some(value), None),
            _ => return None,
        };
        Some(Bound { column, low, high })
    }

    /// The slice of which this is true, too; `None` if that is no slice.
    fn narrow(&self, slice: Slice, window: &LogicalPlan) -> Option<Slice> {
        let LogicalPlan::Window(window) = window else { return None };
        let (_, number, _) = ranking(window.window_expr.first()?)?;
        let low = self.low.unwrap_or(1).max(1);
        let low = u64::try_from(low).unwrap_or(u64::MAX) - 1;
        // Only of places is a first part a number of rows.
        if low > 0 && number != RowNumber::RowNumber {
            return None;
        }
        let end = slice.limit.map(|limit| slice.offset.saturating_add(limit));
        let high = self.high.map(|high| u64::try_from(high.max(0)).unwrap_or(u64::MAX));
        let end = match (end, high) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let offset = slice.offset.max(low);
        Some(Slice { offset, limit: end.map(|end| end.saturating_sub(offset)) })
    }
}

/// The window that numbers rows in a column of the plan, and does nothing else.
fn numbering(plan: &LogicalPlan, column: usize) -> Option<&LogicalPlan> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => numbering(&alias.input, column),
        LogicalPlan::Projection(projection) => {
            let column = column_of(projection.expr.get(column)?, projection.input.schema())?;
            numbering(&projection.input, column)
        }
        LogicalPlan::Window(window) => {
            let is_number = column == window.input.schema().fields().len() && window.window_expr.len() == 1;
            (is_number && ranking(&window.window_expr[0]).is_some()).then_some(plan)
        }
        _ => None,
    }
}

/// The column that an expression is, whatever it is called and however wide it has been made.
fn column_of(expr: &Expr, schema: &DFSchema) -> Option<usize> {
    match expr {
        Expr::Column(column) => schema.maybe_index_of_column(column),
        Expr::Alias(alias) => column_of(&alias.expr, schema),
        Expr::Cast(cast) if cast.field.data_type().is_integer() || cast.field.data_type().is_decimal() => {
            column_of(&cast.expr, schema)
        }
        _ => None,
    }
}

fn whole_number(expr: &Expr) -> Option<i128> {
    match expr {
        Expr::Literal(value, _) => match value {
            ScalarValue::Int16(Some(n)) => Some(i128::from(*n)),
            ScalarValue::Int32(Some(n)) => Some(i128::from(*n)),
            ScalarValue::Int64(Some(n)) => Some(i128::from(*n)),
            ScalarValue::UInt64(Some(n)) => Some(i128::from(*n)),
            ScalarValue::Decimal128(Some(n), _, 0) => Some(*n),
            _ => None,
        },
        _ => None,
    }
}
