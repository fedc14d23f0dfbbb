//! LIMIT over ORDER BY as a function of the data: rows that are equal in the sort keys are told apart by all columns. And
//! FETCH FIRST … WITH TIES, which the planner does not know.
//!
//! ```text
//! Limit n, skip m → Projection → Sort a        Limit n, skip m → Projection → Sort a, then all other columns
//!
//! the same WITH TIES                           Projection → Sort a → Projection
//!                                                Filter rank <= m + n AND place > m
//!                                                  rank() OVER (ORDER BY a), row_number() OVER (ORDER BY a, …)
//! ```
//!
//! WITH TIES comes here as a last sort key that is a certain literal (`bind::rewrite` puts it there).

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::{Sort as SortKey, WindowFunction};
use datafusion::logical_expr::{
    Expr, FetchType, Limit, LogicalPlan, LogicalPlanBuilder, Projection, SkipType, Sort, SubqueryAlias, WindowFrame,
    WindowFunctionDefinition, ident, lit,
};

use crate::SqlError;
use crate::bind::{failure, registry};

/// The sort key that stands for WITH TIES.
pub const WITH_TIES: &str = "with ties";

/// Names of numbers of rows; no column of a user has them.
const RANK: &str = "rank in with ties";
const PLACE: &str = "place in with ties";

/// The plan with ties broken, and without WITH TIES.
///
/// # Errors
/// If a number of rows is negative, or not known while WITH TIES needs it.
pub fn settle_ties(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Limit(limit) => settle_limit(limit),
        other => Ok(Transformed::no(other)),
    })
    .map(|t| t.data)
}

/// Rows that a LIMIT takes without ORDER BY are the first by all columns, as they are in a view.
///
/// # Errors
/// If a plan cannot be built: a bug.
pub fn order_limits(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Limit(limit) if sort_below(&limit.input).is_none() => {
            let mut expr = Vec::new();
            break_ties(&mut expr, &limit.input);
            let input = Arc::new(LogicalPlan::Sort(Sort { expr, input: limit.input, fetch: None }));
            Ok(Transformed::yes(LogicalPlan::Limit(Limit { input, ..limit })))
        }
        other => Ok(Transformed::no(other)),
    })
    .map(|t| t.data)
}

fn settle_limit(limit: Limit) -> Result<Transformed<LogicalPlan>> {
    let Some(sort) = sort_below(&limit.input) else { return Ok(Transformed::no(LogicalPlan::Limit(limit))) };
    let mut keys = sort.expr.clone();
    if keys.last().is_some_and(|key| is_mark(&key.expr)) {
        keys.pop();
        let rows = rows_with_ties(&limit, sort, keys)?;
        return Ok(Transformed::yes(with_sort(&limit.input, rows)?));
    }
    break_ties(&mut keys, &sort.input);
    let sorted = LogicalPlan::Sort(Sort { expr: keys, input: Arc::clone(&sort.input), fetch: sort.fetch });
    let input = Arc::new(with_sort(&limit.input, sorted)?);
    Ok(Transformed::yes(LogicalPlan::Limit(Limit { input, ..limit })))
}

/// OFFSET without LIMIT as a filter by row number. Within a larger query DataFusion drops the sort below such a limit,
/// and leaves out whichever rows come first.
///
/// # Errors
/// If a number of rows is negative.
pub fn number_offsets(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Limit(limit) if limit.fetch.is_none() => {
            let (Some(sort), SkipType::Literal(_)) = (sort_below(&limit.input), limit.get_skip_type()?) else {
                return Ok(Transformed::no(LogicalPlan::Limit(limit)));
            };
            let rows = rows_with_ties(&limit, sort, sort.expr.clone())?;
            Ok(Transformed::yes(with_sort(&limit.input, rows)?))
        }
        other => Ok(Transformed::no(other)),
    })
    .map(|t| t.data)
}

fn is_mark(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Utf8(Some(text)), _) if text == WITH_TIES)
}

/// The sort whose order the rows of a plan have.
pub fn sort_below(plan: &LogicalPlan) -> Option<&Sort> {
    match plan {
        LogicalPlan::Sort(sort) => Some(sort),
        LogicalPlan::Projection(projection) => sort_below(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => sort_below(&alias.input),
        _ => None,
    }
}

/// LIMIT right above its sort, below the projections and names that stood between them.
///
/// # Errors
/// If a plan cannot be built: a bug.
pub fn limit_at_sort(limit: Limit) -> Result<LogicalPlan> {
    let Some(sort) = sort_below(&limit.input) else { return Ok(LogicalPlan::Limit(limit)) };
    let input = Arc::new(LogicalPlan::Sort(sort.clone()));
    let limited = LogicalPlan::Limit(Limit { skip: limit.skip, fetch: limit.fetch, input });
    with_sort(&limit.input, limited)
}

/// The plan with another node in the place of that sort.
fn with_sort(plan: &LogicalPlan, node: LogicalPlan) -> Result<LogicalPlan> {
    Ok(match plan {
        LogicalPlan::Projection(projection) => {
            let input = Arc::new(with_sort(&projection.input, node)?);
            LogicalPlan::Projection(Projection::try_new(projection.expr.clone(), input)?)
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let input = Arc::new(with_sort(&alias.input, node)?);
            LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(input, alias.alias.clone())?)
        }
        _ => node,
    })
}

/// Adds the columns of the input that are no sort keys yet.
fn break_ties(keys: &mut Vec<SortKey>, input: &LogicalPlan) {
    for column in input.schema().columns() {
        let column = Expr::Column(column);
        if !keys.iter().any(|key| key.expr == column) {
            keys.push(SortKey::new(column, true, true));
        }
    }
}

fn rows_with_ties(limit: &Limit, sort: &Sort, keys: Vec<SortKey>) -> Result<LogicalPlan> {
    let (skip, fetch) = match (limit.get_skip_type()?, limit.get_fetch_type()?) {
        (SkipType::Literal(skip), FetchType::Literal(fetch)) => (skip, fetch),
        _ => {
            let error =
                SqlError::new(b"0A000", "WITH TIES after a number of rows that is not constant is not supported");
            return Err(failure(error));
        }
    };
    let columns: Vec<Expr> = sort.input.schema().columns().into_iter().map(Expr::Column).collect();
    let mut builder = LogicalPlanBuilder::from(sort.input.as_ref().clone());
    if let Some(fetch) = fetch {
        let end = if fetch == 0 { 0 } else { skip.saturating_add(fetch) };
        builder = builder.window([number("rank", &keys, RANK)?])?.filter(ident(RANK).lt_eq(lit(end as i64)))?;
    }
    if skip > 0 {
        // What the ranks have taken away is at the end: places before it stay as they are.
        let mut all = keys.clone();
        break_ties(&mut all, &sort.input);
        builder = builder.window([number("row_number", &all, PLACE)?])?.filter(ident(PLACE).gt(lit(skip as i64)))?;
    }
    builder.project(columns)?.sort(keys)?.build()
}

fn number(function: &str, keys: &[SortKey], name: &str) -> Result<Expr> {
    let Some(function) = registry().window(function) else {
        return Err(failure(SqlError::internal(format!("there is no {function}"))));
    };
    let mut number = WindowFunction::new(WindowFunctionDefinition::WindowUDF(function), Vec::new());
    number.params.order_by = keys.to_vec();
    number.params.window_frame = WindowFrame::new(Some(false));
    Ok(Expr::from(number).alias(name))
}
