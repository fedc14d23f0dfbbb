//! A subquery for all rows of its outer columns at once ("Unnesting Arbitrary Queries", Neumann and Kemper, 2015).
//!
//! `dependent(D, S)` has the domain's columns, then those of S: for each row of D what S gives for it.
//!
//! ```text
//! D ⋈ S               =  D × S                          if S names no column of D
//! D ⋈ σ(S), π(S)      =  σ(D ⋈ S), π(D, D ⋈ S)
//! D ⋈ γ keys(S)       =  γ D, keys(D ⋈ S)
//! D ⋈ γ()(S)          =  γ D(D ⋈ S, and a row that no aggregate looks at for each of D)
//! D ⋈ (A ⋈ B)         =  (D ⋈ A) ⋈ B, A ⋈ (D ⋈ B) or (D ⋈ A) ⋈ on D (D ⋈ B), by who names columns of D
//! D ⋈ (A ∪ B)         =  (D ⋈ A) ∪ (D ⋈ B)
//! D ⋈ first n of S    =  first n of D ⋈ S per row of D
//! ```

use std::sync::Arc;

use datafusion::common::{Column, Result, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, Sort, WindowFunction};
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{
    Aggregate, Distinct, DistinctOn, Expr, FetchType, Filter, GroupingSet, Join, JoinType, Limit, LogicalPlan,
    LogicalPlanBuilder, SkipType, Union, Unnest, Window, WindowFrame, WindowFunctionDefinition, lit, when,
};

use super::columns::{Domain, all_columns, conditions_of, distinct, join, project, same};
use super::{Decorrelation, table_function, unsupported};
use crate::SqlError;
use crate::bind::{FunctionTable, failure, registry};
use crate::rules::fallible::is_fallible;
use crate::rules::ordered_limit;

/// Names of columns that no user has.
const IS_ROW: &str = "is a row\u{1}";
const PLACE: &str = "place\u{1}";

impl Decorrelation {
    /// See the module's head.
    pub fn dependent(&mut self, domain: &Domain, plan: LogicalPlan) -> Result<LogicalPlan> {
        if !domain.is_named_in(&plan)? && !can_fail(&plan) {
            return beside(domain, plan);
        }
        match plan {
            LogicalPlan::Subquery(subquery) => self.dependent(domain, Arc::unwrap_or_clone(subquery.subquery)),
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => self.dependent(domain, Arc::unwrap_or_clone(sort.input)),
            LogicalPlan::Sort(sort) => self.first_rows(domain, sort.input, sort.expr, 0, sort.fetch),
            LogicalPlan::Limit(limit) => match ordered_limit::limit_at_sort(limit)? {
                LogicalPlan::Limit(limit) => self.limit(domain, limit),
                other => self.dependent(domain, other),
            },
            LogicalPlan::Projection(projection) => {
                let input = self.dependent(domain, Arc::unwrap_or_clone(projection.input))?;
                let mut exprs = domain.exprs();
                for (expr, (qualifier, field)) in projection.expr.into_iter().zip(projection.schema.iter()) {
                    exprs.push(domain.bind_as(expr, (qualifier, field.name()))?);
                }
                project(input, exprs)
            }
            LogicalPlan::Filter(filter) => self.filter_of(domain, filter),
            LogicalPlan::SubqueryAlias(alias) => {
                let own = alias.input.schema().columns();
                let input = self.dependent(domain, Arc::unwrap_or_clone(alias.input))?;
                let mut exprs = domain.exprs();
                for (column, (qualifier, field)) in own.into_iter().zip(alias.schema.iter()) {
                    exprs.push(Expr::Column(column).alias_qualified(qualifier.cloned(), field.name()));
                }
                project(input, exprs)
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate_of(domain, aggregate),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                Ok(distinct(self.dependent(domain, Arc::unwrap_or_clone(input))?))
            }
            LogicalPlan::Distinct(Distinct::On(on)) => self.distinct_on(domain, on),
            LogicalPlan::Union(union) => {
                let mut names: Vec<Column> = domain.columns.iter().map(|(_, own)| own.clone()).collect();
                names.extend(union.schema.columns());
                let mut inputs = Vec::with_capacity(union.inputs.len());
                for input in union.inputs {
                    let columns = input.schema().columns().into_iter().map(Expr::Column);
                    let columns = domain.exprs().into_iter().chain(columns).collect();
                    inputs.push(project(self.dependent(domain, Arc::unwrap_or_clone(input))?, columns)?);
                }
                union_as(inputs, &names)
            }
            LogicalPlan::Join(join) => self.join_of(domain, join),
            LogicalPlan::Window(window) => self.window_of(domain, window),
            LogicalPlan::Unnest(unnest) => {
                let input = self.dependent(domain, Arc::unwrap_or_clone(unnest.input))?;
                let unnest = Unnest::try_new(Arc::new(input), unnest.exec_columns, unnest.options)?;
                Ok(LogicalPlan::Unnest(unnest))
            }
            LogicalPlan::TableScan(scan) => match FunctionTable::of(&scan) {
                Some(table) => table_function::rows(domain, &table, &scan, false),
                None => beside(domain, LogicalPlan::TableScan(scan)),
            },
            LogicalPlan::Values(values) if domain.is_named_in(&LogicalPlan::Values(values.clone()))? => {
                let mut names: Vec<Column> = domain.columns.iter().map(|(_, own)| own.clone()).collect();
                names.extend(values.schema.columns());
                let mut rows = Vec::with_capacity(values.values.len());
                for row in values.values {
                    let mut exprs = domain.exprs();
                    for (expr, (qualifier, field)) in row.into_iter().zip(values.schema.iter()) {
                        exprs.push(domain.bind_as(expr, (qualifier, field.name()))?);
                    }
                    rows.push(project(domain.plan.clone(), exprs)?);
                }
                union_as(rows, &names)
            }
            other if domain.is_named_in(&other)? => {
                Err(unsupported(&format!("{} in a correlated subquery", other.display())))
            }
            other => beside(domain, other),
        }
    }

    fn filter_of(&mut self, domain: &Domain, filter: Filter) -> Result<LogicalPlan> {
        let predicate = domain.bind(filter.predicate)?;
        if !domain.is_named_in(&filter.input)? {
            return join(domain.plan.clone(), Arc::unwrap_or_clone(filter.input), JoinType::Inner, vec![predicate]);
        }
        let input = self.dependent(domain, Arc::unwrap_or_clone(filter.input))?;
        Ok(LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(input))?))
    }

    fn aggregate_of(&mut self, domain: &Domain, aggregate: Aggregate) -> Result<LogicalPlan> {
        let Aggregate { input, group_expr, aggr_expr, schema, .. } = aggregate;
        let below = input.schema().columns();
        let mut input = self.dependent(domain, Arc::unwrap_or_clone(input))?;
        let is_global = group_expr.is_empty();
        if is_global {
            // Each row of the domain has its group, whether it has rows or not.
            let mut rows = domain.exprs();
            let mut empty = domain.exprs();
            for column in &below {
                rows.push(Expr::Column(column.clone()));
                let (qualifier, field) = input.schema().qualified_field_from_column(column)?;
                let null = Expr::Literal(ScalarValue::try_from(field.data_type())?, None);
                empty.push(null.alias_qualified(qualifier.cloned(), field.name()));
            }
            rows.push(lit(true).alias(IS_ROW));
            empty.push(lit(false).alias(IS_ROW));
            let (rows, empty) = (project(input, rows)?, project(domain.plan.clone(), empty)?);
            let names = rows.schema().columns();
            input = union_as(vec![rows, empty], &names)?;
        }
        let mut groups = domain.exprs();
        match group_expr.as_slice() {
            [Expr::GroupingSet(_)] => {
                let sets = grouping_sets_of(&group_expr)?;
                let sets = sets.into_iter().map(|set| {
                    let own = set.into_iter().map(|e| domain.bind(e)).collect::<Result<Vec<_>>>()?;
                    Ok(domain.exprs().into_iter().chain(own).collect())
                });
                groups = vec![Expr::GroupingSet(GroupingSet::GroupingSets(sets.collect::<Result<_>>()?))];
            }
            _ => {
                for (expr, (qualifier, field)) in group_expr.into_iter().zip(schema.iter()) {
                    groups.push(match expr {
                        Expr::Column(_) => expr,
                        expr => domain.bind_as(expr, (qualifier, field.name()))?,
                    });
                }
            }
        }
        let first = schema.fields().len() - aggr_expr.len();
        let mut calls = Vec::with_capacity(aggr_expr.len());
        for (expr, (qualifier, field)) in aggr_expr.into_iter().zip(schema.iter().skip(first)) {
            let call = domain.bind(expr.unalias())?;
            let call = if is_global { only_rows(call) } else { call };
            calls.push(call.alias_qualified(qualifier.cloned(), field.name()));
        }
        Ok(LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(input), groups, calls)?))
    }

    fn distinct_on(&mut self, domain: &Domain, on: DistinctOn) -> Result<LogicalPlan> {
        let DistinctOn { on_expr, select_expr, sort_expr, input, schema } = on;
        let input = self.dependent(domain, Arc::unwrap_or_clone(input))?;
        let mut keys = domain.exprs();
        for expr in on_expr {
            keys.push(domain.bind(expr)?);
        }
        let mut select = domain.exprs();
        for (expr, (qualifier, field)) in select_expr.into_iter().zip(schema.iter()) {
            select.push(domain.bind_as(expr, (qualifier, field.name()))?);
        }
        let sorts = match sort_expr {
            Some(sorts) => {
                let first = domain.exprs().into_iter().map(|e| Sort::new(e, true, false));
                Some(first.chain(domain.bind_sorts(sorts)?).collect())
            }
            None => None,
        };
        Ok(LogicalPlan::Distinct(Distinct::On(DistinctOn::try_new(keys, select, sorts, Arc::new(input))?)))
    }

    fn window_of(&mut self, domain: &Domain, window: Window) -> Result<LogicalPlan> {
        let first = window.schema.fields().len() - window.window_expr.len();
        let input = self.dependent(domain, Arc::unwrap_or_clone(window.input))?;
        let mut calls = Vec::with_capacity(window.window_expr.len());
        for (expr, (qualifier, field)) in window.window_expr.into_iter().zip(window.schema.iter().skip(first)) {
            let mut call = domain.bind(expr.unalias())?;
            if let Expr::WindowFunction(call) = &mut call {
                call.params.partition_by.splice(0..0, domain.exprs());
            }
            calls.push(call.alias_qualified(qualifier.cloned(), field.name()));
        }
        Ok(LogicalPlan::Window(Window::try_new(calls, Arc::new(input))?))
    }

    fn limit(&mut self, domain: &Domain, limit: Limit) -> Result<LogicalPlan> {
        let (SkipType::Literal(skip), FetchType::Literal(fetch)) = (limit.get_skip_type()?, limit.get_fetch_type()?)
        else {
            return Err(unsupported("LIMIT by an expression in a correlated subquery"));
        };
        match Arc::unwrap_or_clone(limit.input) {
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => {
                self.first_rows(domain, sort.input, sort.expr, skip, fetch)
            }
            input => self.first_rows(domain, Arc::new(input), Vec::new(), skip, fetch),
        }
    }

    /// Some of the rows for each row of the domain, by their numbers.
    fn first_rows(
        &mut self,
        domain: &Domain,
        input: Arc<LogicalPlan>,
        order: Vec<Sort>,
        skip: usize,
        fetch: Option<usize>,
    ) -> Result<LogicalPlan> {
        let input = self.dependent(domain, Arc::unwrap_or_clone(input))?;
        let columns = all_columns(input.schema());
        let Some(row_number) = registry().window("row_number") else {
            return Err(failure(SqlError::internal("there is no row_number")));
        };
        let mut number = WindowFunction::new(WindowFunctionDefinition::WindowUDF(row_number), Vec::new());
        number.params.partition_by = domain.exprs();
        number.params.order_by = domain.bind_sorts(order)?;
        number.params.window_frame = WindowFrame::new(Some(false));
        let place = datafusion::logical_expr::ident(PLACE);
        let mut numbered = LogicalPlanBuilder::from(input).window([Expr::from(number).alias(PLACE)])?;
        if let Some(fetch) = fetch {
            numbered = numbered.filter(place.clone().lt_eq(lit((skip + fetch) as i64)))?;
        }
        if skip > 0 {
            numbered = numbered.filter(place.gt(lit(skip as i64)))?;
        }
        numbered.project(columns)?.build()
    }

    fn join_of(&mut self, domain: &Domain, node: Join) -> Result<LogicalPlan> {
        let conditions = conditions_of(&node);
        let conditions = conditions.into_iter().map(|c| domain.bind(c)).collect::<Result<Vec<_>>>()?;
        let (in_left, in_right) = (domain.is_named_in(&node.left)?, domain.is_named_in(&node.right)?);
        let (left, right) = (Arc::unwrap_or_clone(node.left), Arc::unwrap_or_clone(node.right));
        let keeps_right = matches!(node.join_type, JoinType::Right | JoinType::Full);
        let keeps_left = !matches!(node.join_type, JoinType::Inner | JoinType::Right);
        // The domain goes to one side where that is enough, to both else.
        if !in_right && !keeps_right {
            let left = self.dependent(domain, left)?;
            return renamed(domain, join(left, right, node.join_type, conditions)?, &node.schema);
        }
        if !in_left && !keeps_left {
            let right = self.dependent(domain, right)?;
            return renamed(domain, join(left, right, node.join_type, conditions)?, &node.schema);
        }
        let left = self.dependent(domain, left)?;
        let other = self.fresh(domain);
        let right = self.dependent(domain, right)?;
        let mut exprs = Vec::with_capacity(right.schema().fields().len());
        for (place, expr) in all_columns(right.schema()).into_iter().enumerate() {
            let own = domain.columns.iter().position(|(_, own)| matches!(&expr, Expr::Column(c) if c == own));
            debug_assert!(own.is_none_or(|own| own == place), "the domain's columns come first");
            exprs.push(match own {
                Some(own) => expr.alias_qualified(other[own].relation.clone(), other[own].name.clone()),
                None => expr,
            });
        }
        let right = project(right, exprs)?;
        let mut all: Vec<Expr> =
            domain.exprs().into_iter().zip(&other).map(|(own, other)| same(own, Expr::Column(other.clone()))).collect();
        all.extend(conditions);
        let joined = join(left, right, node.join_type, all)?;
        if matches!(node.join_type, JoinType::Inner | JoinType::Left) || !joined.schema().has_column(&other[0]) {
            return renamed(domain, joined, &node.schema);
        }
        // Where the left side is missing, the outer values are those of the right one.
        let mut exprs = Vec::new();
        for ((_, own), other) in domain.columns.iter().zip(other) {
            let value = Expr::Column(own.clone());
            let value = when(value.clone().is_not_null(), value).otherwise(Expr::Column(other))?;
            exprs.push(value.alias_qualified(own.relation.clone(), own.name.clone()));
        }
        exprs.extend(all_columns(&node.schema));
        project(joined, exprs)
    }
}

/// The domain's rows, each with all rows of a plan that doesn't depend on them.
fn beside(domain: &Domain, plan: LogicalPlan) -> Result<LogicalPlan> {
    match &plan {
        LogicalPlan::EmptyRelation(empty) if empty.produce_one_row => Ok(domain.plan.clone()),
        _ => {
            let columns: Vec<Expr> = domain.exprs().into_iter().chain(all_columns(plan.schema())).collect();
            project(LogicalPlanBuilder::from(domain.plan.clone()).cross_join(plan)?.build()?, columns)
        }
    }
}

/// All rows of plans of the same types, under these names.
fn union_as(inputs: Vec<LogicalPlan>, names: &[Column]) -> Result<LogicalPlan> {
    // A union has no qualifiers, so equal names are told apart for it.
    let apart = |place: usize| format!("{}\u{1}{place}", names[place].name);
    let mut renamed = Vec::with_capacity(inputs.len());
    for input in inputs {
        let columns = all_columns(input.schema()).into_iter().enumerate();
        let columns = columns.map(|(place, column)| column.alias(apart(place))).collect();
        renamed.push(Arc::new(project(input, columns)?));
    }
    let union = LogicalPlan::Union(Union::try_new_with_loose_types(renamed)?);
    let restored = names.iter().enumerate().map(|(place, name)| {
        Expr::Column(Column::from_name(apart(place))).alias_qualified(name.relation.clone(), name.name.clone())
    });
    project(union, restored.collect())
}

/// Whether the outermost expressions of a plan can fail: then only outer rows that exist may meet them.
pub fn can_fail(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => projection.expr.iter().any(is_fallible) || can_fail(&projection.input),
        LogicalPlan::Filter(filter) => is_fallible(&filter.predicate) || can_fail(&filter.input),
        LogicalPlan::SubqueryAlias(alias) => can_fail(&alias.input),
        _ => false,
    }
}

/// The domain's columns, then the others under their own names.
fn renamed(domain: &Domain, plan: LogicalPlan, wanted: &datafusion::common::DFSchema) -> Result<LogicalPlan> {
    let mut exprs = domain.exprs();
    let found = plan.schema().columns();
    for (qualifier, field) in wanted.iter() {
        let column = Expr::from((qualifier, field));
        let Expr::Column(name) = &column else { continue };
        // A mark's qualifier comes from the right side, which has other columns now.
        exprs.push(match (found.contains(name), found.last()) {
            (false, Some(last)) => Expr::Column(last.clone()).alias_qualified(qualifier.cloned(), field.name().clone()),
            _ => column,
        });
    }
    project(plan, exprs)
}

/// The aggregate over the rows that are there for their own sake.
fn only_rows(call: Expr) -> Expr {
    let is_row = datafusion::logical_expr::ident(IS_ROW);
    match call {
        Expr::AggregateFunction(AggregateFunction { func, mut params }) => {
            params.filter = Some(Box::new(match params.filter.take() {
                Some(filter) => is_row.and(*filter),
                None => is_row,
            }));
            Expr::AggregateFunction(AggregateFunction { func, params })
        }
        other => other,
    }
}

/// The grouping sets of a GROUP BY list that is one expression of them.
pub fn grouping_sets_of(group_expr: &[Expr]) -> Result<Vec<Vec<Expr>>> {
    match group_expr {
        [Expr::GroupingSet(GroupingSet::GroupingSets(sets))] => Ok(sets.clone()),
        [Expr::GroupingSet(GroupingSet::Rollup(keys))] => {
            Ok((0..=keys.len()).rev().map(|count| keys[..count].to_vec()).collect())
        }
        [Expr::GroupingSet(GroupingSet::Cube(keys))] => {
            let subset = |mask: u32| {
                let kept = keys.iter().enumerate().filter(|(place, _)| mask & (1 << (keys.len() - 1 - place)) != 0);
                kept.map(|(_, key)| key.clone()).collect()
            };
            Ok((0..1_u32 << keys.len()).rev().map(subset).collect())
        }
        other => Ok(vec![grouping_set_to_exprlist(other)?.into_iter().cloned().collect()]),
    }
}
