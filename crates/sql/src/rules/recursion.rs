//! WITH RECURSIVE in maintained queries: the number of the iteration becomes a column of the recursive term.
//!
//! 1. A recursive query is taken out of the plan: what is around it sees a table (`RecursionTable`) that holds the query's two
//!    terms as plans of their own, which no rule for the rest of the query reaches into.
//! 2. The non-recursive term gets a column 0 in front, the iteration that its rows are from.
//! 3. In the recursive term the reference to the query is the work table, with the rows of all iterations and their numbers. The number goes up
//!    with the rows: through joins with the side that has it, into the partitions of windows and among the columns of DISTINCT, so
//!    that each iteration is by itself. What comes out at the top is of the next iteration.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, TableReference};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::logical_expr::Operator;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, Filter, Join, JoinType, LogicalPlan, LogicalPlanBuilder, RecursiveQuery, Sort,
    SubqueryAlias, TableScan, TableType, Union, Unnest, Window, binary_expr, lit,
};
use datafusion::physical_plan::ExecutionPlan;

use super::decorrelate::{all_columns, project};
use crate::SqlError;
use crate::bind::{failure, work_table_name};

/// The name of the iteration's number; no column of a user has it.
const ITERATION: &str = "iteration\u{1}";

/// A recursive query that has been taken out of its plan.
#[derive(Clone, Debug, PartialEq)]
pub struct RecursionTable {
    /// The query's name.
    pub name: String,
    /// The rows to begin with: their iteration, which is 0, then the query's columns.
    pub base: LogicalPlan,
    /// What an iteration gives, by the one before, which is the scan of a `WorkTable`: the iteration's number and the columns.
    pub term: LogicalPlan,
    /// UNION.
    pub distinct: bool,
    /// The iteration's number and the columns.
    pub schema: SchemaRef,
}

/// The rows of the iterations of a recursive query, as its recursive term sees them.
#[derive(Clone, Debug)]
pub struct WorkTable {
    schema: SchemaRef,
}

impl RecursionTable {
    /// The recursive query that a scan reads, if it is one.
    pub fn of(scan: &TableScan) -> Option<RecursionTable> {
        let provider = source_as_provider(&scan.source).ok()?;
        (provider.as_ref() as &dyn std::any::Any).downcast_ref::<RecursionTable>().cloned()
    }
}

/// Whether a scan reads a work table.
pub fn is_work_table(scan: &TableScan) -> bool {
    let provider = source_as_provider(&scan.source);
    provider.is_ok_and(|provider| (provider.as_ref() as &dyn std::any::Any).is::<WorkTable>())
}

/// Takes recursive queries out of a plan. `prepare` brings their terms into the form that is lowered.
///
/// # Errors
/// 0A000 for recursive terms that cannot be maintained.
pub fn detach(plan: LogicalPlan, prepare: &dyn Fn(LogicalPlan, Term) -> Result<LogicalPlan>) -> Result<LogicalPlan> {
    plan.transform_down_with_subqueries(|node| match node {
        LogicalPlan::RecursiveQuery(query) => {
            let detached = detach_query(query, prepare)?;
            Ok(Transformed::new(detached, true, TreeNodeRecursion::Jump))
        }
        other => Ok(Transformed::no(other)),
    })
    .map(|t| t.data)
}

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// A whole query, or the term that a recursive one begins with.
    Plain,
    /// The recursive term: `number_iterations` is to be called when it has no subqueries any more.
    Recursive,
}

fn detach_query(
    query: RecursiveQuery,
    prepare: &dyn Fn(LogicalPlan, Term) -> Result<LogicalPlan>,
) -> Result<LogicalPlan> {
    let RecursiveQuery { name, static_term, recursive_term, is_distinct, schema } = query;
    let mut fields = vec![Arc::new(Field::new(ITERATION, DataType::Int64, false))];
    fields.extend(schema.fields().iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true))));
    let columns = Arc::new(Schema::new(fields));
    for term in [&static_term, &recursive_term] {
        if names_outer_columns(term)? {
            return Err(unsupported("a reference to an outer query in WITH RECURSIVE"));
        }
    }
    if names_other_query(&static_term, &mut Vec::new())? || names_other_query(&recursive_term, &mut vec![name.clone()])?
    {
        return Err(unsupported("WITH RECURSIVE that refers to a recursive query around it"));
    }
    let term = with_work_table(Arc::unwrap_or_clone(recursive_term), &name, &columns)?;
    let base = Arc::unwrap_or_clone(static_term);
    let named = |plan: LogicalPlan, number: Expr, skipped: usize| {
        let values = all_columns(plan.schema()).into_iter().skip(skipped);
        let values = values.zip(columns.fields().iter().skip(1)).map(|(value, field)| value.alias(field.name()));
        let exprs = std::iter::once(number.alias(ITERATION)).chain(values).collect();
        project(plan, exprs)
    };
    let base = prepare(named(base, lit(0_i64), 0)?, Term::Plain)?;
    let term = prepare(term, Term::Recursive)?;
    let number = Expr::from(term.schema().qualified_field(0));
    let next = binary_expr(number, Operator::Plus, lit(1_i64));
    let term = named(term, next, 1)?;
    // Scans are taken for equal if their names are: this one says what is scanned.
    let mut hasher = DefaultHasher::new();
    (&base, &term, is_distinct).hash(&mut hasher);
    let scanned = format!("{name}\u{1}{:016x}", hasher.finish());
    let table = RecursionTable { name, base, term, distinct: is_distinct, schema: Arc::clone(&columns) };
    let scanned = TableReference::bare(scanned);
    let scan = LogicalPlanBuilder::scan(scanned, provider_as_source(Arc::new(table)), None)?.build()?;
    let values = all_columns(scan.schema()).into_iter().skip(1).zip(schema.iter());
    let values = values.map(|(value, (qualifier, field))| value.alias_qualified(qualifier.cloned(), field.name()));
    let values = values.collect();
    project(scan, values)
}

/// The recursive term with the work table in place of the reference to the query.
fn with_work_table(plan: LogicalPlan, name: &str, columns: &SchemaRef) -> Result<LogicalPlan> {
    plan.transform_down_with_subqueries(|node| match node {
        // It has a query of the same name within it.
        LogicalPlan::RecursiveQuery(inner) if inner.name == name => {
            Ok(Transformed::new(LogicalPlan::RecursiveQuery(inner), false, TreeNodeRecursion::Jump))
        }
        LogicalPlan::TableScan(scan) if work_table_name(&scan).as_deref() == Some(name) => {
            let table = WorkTable { schema: Arc::clone(columns) };
            let source = provider_as_source(Arc::new(table));
            Ok(Transformed::yes(LogicalPlanBuilder::scan(scan.table_name, source, None)?.build()?))
        }
        other => Ok(Transformed::no(other)),
    })
    .map(|t| t.data)
}

/// Whether a plan refers to a recursive query that is not within it, nor among the `known` ones.
fn names_other_query(plan: &LogicalPlan, known: &mut Vec<String>) -> Result<bool> {
    if let LogicalPlan::RecursiveQuery(query) = plan {
        let in_base = names_other_query(&query.static_term, known)?;
        known.push(query.name.clone());
        let found = in_base || names_other_query(&query.recursive_term, known)?;
        known.pop();
        return Ok(found);
    }
    if let LogicalPlan::TableScan(scan) = plan
        && (is_work_table(scan) || work_table_name(scan).is_some_and(|name| !known.contains(&name)))
    {
        return Ok(true);
    }
    for input in plan.inputs() {
        if names_other_query(input, known)? {
            return Ok(true);
        }
    }
    let mut found = false;
    plan.apply_subqueries(|subquery| {
        found |= names_other_query(subquery, known)?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

fn names_outer_columns(plan: &LogicalPlan) -> Result<bool> {
    // Those that a subquery within it names are its own.
    let mut named = false;
    plan.apply(|node| {
        node.apply_expressions(|expr| {
            named |= expr.exists(|part| Ok(matches!(part, Expr::OuterReferenceColumn(..))))?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(named)
}

fn unsupported(construct: &str) -> datafusion::error::DataFusionError {
    failure(SqlError::new(b"0A000", format!("{construct} is not supported in a materialized view")))
}

/// A recursive term with the iteration's number as its first column. It has no subqueries any more.
///
/// # Errors
/// 0A000 for a node that needs all of an iteration's rows at once and has no form that keeps iterations apart.
pub fn number_iterations(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut numbering = Numbering { made: 0, work_table: None };
    plan.apply(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && is_work_table(scan)
        {
            numbering.work_table = Some(node.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let (plan, number) = numbering.carry(plan)?;
    let Some(number) = number else { return Err(failure(SqlError::internal("a recursive term without a reference"))) };
    let rest = all_columns(plan.schema()).into_iter().filter(|column| *column != Expr::Column(number.clone()));
    let mut exprs: Vec<Expr> = rest.filter(|column| !matches!(column, Expr::Column(c) if is_number(c))).collect();
    exprs.insert(0, Expr::Column(number));
    project(plan, exprs)
}

fn is_number(column: &Column) -> bool {
    column.name.ends_with('\u{1}') && column.name.starts_with("iteration")
}

/// Carries the number of the iteration up a plan.
struct Numbering {
    /// Names that have been made; they are numbered.
    made: usize,
    /// The scan of the work table.
    work_table: Option<LogicalPlan>,
}

/// A plan and its column with the number; none for a plan that does not read the work table.
type Carried = (LogicalPlan, Option<Column>);

impl Numbering {
    fn carry(&mut self, plan: LogicalPlan) -> Result<Carried> {
        let reads = plan.exists(|node| Ok(matches!(node, LogicalPlan::TableScan(scan) if is_work_table(scan))))?;
        if !reads {
            return Ok((plan, None));
        }
        match plan {
            LogicalPlan::TableScan(scan) => {
                let number = Column::new(Some(scan.table_name.clone()), ITERATION);
                Ok((LogicalPlan::TableScan(scan), Some(number)))
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let (input, number) = self.carry(Arc::unwrap_or_clone(alias.input))?;
                let number = number.map(|number| Column::new(Some(alias.alias.clone()), number.name));
                let alias = SubqueryAlias::try_new(Arc::new(input), alias.alias)?;
                Ok((LogicalPlan::SubqueryAlias(alias), number))
            }
            LogicalPlan::Projection(projection) => {
                let (input, number) = self.carry(Arc::unwrap_or_clone(projection.input))?;
                let mut exprs = projection.expr;
                // One of all columns has it already.
                if let Some(number) = number.clone().map(Expr::Column).filter(|number| !exprs.contains(number)) {
                    exprs.insert(0, number);
                }
                Ok((project(input, exprs)?, number))
            }
            LogicalPlan::Filter(filter) => {
                let (input, number) = self.carry(Arc::unwrap_or_clone(filter.input))?;
                Ok((LogicalPlan::Filter(Filter::try_new(filter.predicate, Arc::new(input))?), number))
            }
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => {
                let (input, number) = self.carry(Arc::unwrap_or_clone(sort.input))?;
                Ok((LogicalPlan::Sort(Sort { input: Arc::new(input), ..sort }), number))
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let (input, number) = self.carry(Arc::unwrap_or_clone(input))?;
                Ok((LogicalPlan::Distinct(Distinct::All(Arc::new(input))), number))
            }
            LogicalPlan::Window(window) => self.window(window),
            LogicalPlan::Unnest(unnest) => self.unnest(unnest),
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Limit(_) => Err(unsupported("LIMIT over a recursive query within its recursive term")),
            other => Err(unsupported(&format!("{} over a recursive query within its recursive term", other.display()))),
        }
    }

    /// Windows are those of one iteration.
    fn window(&mut self, window: Window) -> Result<Carried> {
        let first = window.schema.fields().len() - window.window_expr.len();
        let names: Vec<_> =
            window.schema.iter().skip(first).map(|(q, field)| (q.cloned(), field.name().clone())).collect();
        let (input, number) = self.carry(Arc::unwrap_or_clone(window.input))?;
        let calls = window.window_expr.into_iter().zip(names).map(|(call, (qualifier, name))| {
            let call = call.unalias().transform_up(|part| match (part, &number) {
                (Expr::WindowFunction(mut call), Some(number)) => {
                    let WindowFunction { params, .. } = call.as_mut();
                    params.partition_by.insert(0, Expr::Column(number.clone()));
                    Ok(Transformed::yes(Expr::WindowFunction(call)))
                }
                (part, _) => Ok(Transformed::no(part)),
            })?;
            Ok(call.data.alias_qualified(qualifier, name))
        });
        let calls = calls.collect::<Result<Vec<_>>>()?;
        Ok((LogicalPlan::Window(Window::try_new(calls, Arc::new(input))?), number))
    }

    /// Groups are those of one iteration.
    fn aggregate(&mut self, aggregate: Aggregate) -> Result<Carried> {
        if aggregate.group_expr.is_empty() || matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]) {
            // It has a row in iterations from which it takes none.
            return Err(unsupported("an aggregate without GROUP BY over a recursive query within its recursive term"));
        }
        let (input, number) = self.carry(Arc::unwrap_or_clone(aggregate.input))?;
        let keys = number.iter().cloned().map(Expr::Column).chain(aggregate.group_expr).collect();
        let aggregate = Aggregate::try_new(Arc::new(input), keys, aggregate.aggr_expr)?;
        Ok((LogicalPlan::Aggregate(aggregate), number))
    }

    /// An input that does not read the work table gives its rows in each iteration that there is.
    fn union(&mut self, union: Union) -> Result<Carried> {
        let mut inputs = Vec::with_capacity(union.inputs.len());
        for input in union.inputs {
            let rows = all_columns(input.schema());
            let (plan, number) = match self.carry(Arc::unwrap_or_clone(input))? {
                (plan, Some(number)) => (plan, number),
                (plan, None) => self.in_each_iteration(plan)?,
            };
            let exprs = std::iter::once(Expr::Column(number).alias(ITERATION)).chain(rows).collect();
            inputs.push(Arc::new(project(plan, exprs)?));
        }
        let mut fields = vec![(None, Arc::new(Field::new(ITERATION, DataType::Int64, true)))];
        fields.extend(union.schema.iter().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field))));
        let schema = Arc::new(DFSchema::new_with_metadata(fields, union.schema.metadata().clone())?);
        let number = Column::new(None::<TableReference>, ITERATION);
        Ok((LogicalPlan::Union(Union { inputs, schema }), Some(number)))
    }

    fn in_each_iteration(&mut self, plan: LogicalPlan) -> Result<(LogicalPlan, Column)> {
        let Some(LogicalPlan::TableScan(scan)) = self.work_table.clone() else {
            return Err(failure(SqlError::internal("a recursive term without a work table")));
        };
        self.made += 1;
        let name = format!("iteration {}\u{1}", self.made);
        let number = Expr::Column(Column::new(Some(scan.table_name.clone()), ITERATION)).alias(&name);
        let numbers = project(LogicalPlan::TableScan(scan), vec![number])?;
        let numbers = LogicalPlan::Distinct(Distinct::All(Arc::new(numbers)));
        let joined = LogicalPlanBuilder::from(plan).cross_join(numbers)?.build()?;
        Ok((joined, Column::new(None::<TableReference>, name)))
    }

    fn unnest(&mut self, unnest: Unnest) -> Result<Carried> {
        let (input, number) = self.carry(Arc::unwrap_or_clone(unnest.input))?;
        let builder = LogicalPlanBuilder::from(input);
        Ok((builder.unnest_columns_with_options(unnest.exec_columns, unnest.options)?.build()?, number))
    }

    /// Rows are joined with those of their iteration, or with the same rows in each iteration.
    fn join(&mut self, join: Join) -> Result<Carried> {
        let (left, left_number) = self.carry(Arc::unwrap_or_clone(join.left))?;
        let (mut right, mut right_number) = self.carry(Arc::unwrap_or_clone(join.right))?;
        let left_kept = !matches!(
            join.join_type,
            JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark
        );
        let right_kept =
            !matches!(join.join_type, JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark);
        let mut on = join.on;
        let mut filter = join.filter;
        if let (Some(left_number), Some(number)) = (&left_number, &right_number) {
            // Two columns of a plan have different names.
            self.made += 1;
            let renamed = format!("iteration {}\u{1}", self.made);
            let exprs = right.schema().iter().map(|(qualifier, field)| match Column::from((qualifier, field)) {
                column if column == *number => Expr::Column(column).alias(&renamed),
                column => Expr::Column(column),
            });
            let exprs = exprs.collect();
            right = project(right, exprs)?;
            let number = Column::new(None::<TableReference>, renamed);
            right_number = Some(number.clone());
            let (left, right) = (Expr::Column(left_number.clone()), Expr::Column(number));
            match on.is_empty() {
                true => {
                    let same = left.eq(right);
                    filter = Some(filter.map_or(same.clone(), |filter| same.and(filter)));
                }
                false => on.push((left, right)),
            }
        }
        let number = match join.join_type {
            JoinType::Full => None,
            _ => left_number.filter(|_| left_kept).or(right_number.filter(|_| right_kept)),
        };
        if number.is_none() {
            return Err(unsupported("an outer join that adds NULLs to a recursive query within its recursive term"));
        }
        let join = Join::try_new(
            Arc::new(left),
            Arc::new(right),
            on,
            filter,
            join.join_type,
            join.join_constraint,
            join.null_equality,
            join.null_aware,
        )?;
        Ok((LogicalPlan::Join(join), number))
    }
}

#[async_trait]
impl TableProvider for RecursionTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Err(failure(SqlError::internal("a recursive query of a view is not run by itself")))
    }
}

#[async_trait]
impl TableProvider for WorkTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Err(failure(SqlError::internal("a work table of a view is not read by itself")))
    }
}
