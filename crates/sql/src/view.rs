//! Queries that are kept up to date: from text to a dataflow plan.

use arrow::datatypes::{Schema, SchemaRef};
use changelog::RelationId;
use dataflow::{DataflowPlan, OperatorSpec};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::TreeNode;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::eliminate_outer_join::EliminateOuterJoin;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::{Optimizer, OptimizerContext, OptimizerRule};
use datafusion::sql::sqlparser::ast;
use std::collections::HashSet;
use std::sync::Arc;

use crate::bind::{Bound, bind_view_query, failure, from_plan_error};
use crate::lower::{Construct, Lowering, VIEW_TIME_ZONE};
use crate::rules::push_filter::PushFilter;
use crate::rules::recursion::{self, Term};
use crate::rules::{cross_join, decorrelate, dimensions, distinct_on, guard, one_window, ordered_limit};
use crate::{Catalog, SqlError};

/// A query lowered to a dataflow.
#[derive(Clone, Debug)]
pub struct ViewPlan {
    /// The dataflow; its last node is the output.
    pub plan: DataflowPlan,
    /// The columns of the view.
    pub schema: SchemaRef,
    /// Relations whose changes the dataflow takes, each once: tables, sources and materialized views.
    pub inputs: Vec<RelationId>,
    /// All relations that the query names, views among them: what the view depends on.
    pub named: Vec<RelationId>,
}

/// The last iteration of a recursive query that may give rows, if a view says nothing else.
pub const ITERATIONS_MAX: u64 = 1000;

/// Lowers a query to a dataflow that maintains its result.
///
/// # Errors
/// What is wrong with the query; 0A000, naming the construct and its position, for what cannot be maintained.
pub fn lower_view(query: &ast::Query, catalog: &dyn Catalog) -> Result<ViewPlan, SqlError> {
    lower_bounded_view(query, catalog, ITERATIONS_MAX)
}

/// The same for a view whose recursive queries may take `iterations_max` iterations.
///
/// # Errors
/// As `lower_view`.
pub fn lower_bounded_view(
    query: &ast::Query,
    catalog: &dyn Catalog,
    iterations_max: u64,
) -> Result<ViewPlan, SqlError> {
    let bound = bind_view(query, catalog)?;
    let plan = prepare(bound.plan, Term::Plain, query).map_err(|e| from_plan_error(&e, query))?;
    let schema = with_nulls(&bound.schema, plan.schema());
    let plan = Lowering::new(query, iterations_max).lower(&plan, &schema)?;
    let mut inputs = Vec::new();
    for node in &plan.nodes {
        if let OperatorSpec::Input { relation, .. } = &node.spec
            && !inputs.contains(relation)
        {
            inputs.push(*relation);
        }
    }
    Ok(ViewPlan { plan, schema, inputs, named: bound.named })
}

/// The columns that were bound, nullable where the rewritten plan says that they can be NULL.
fn with_nulls(bound: &SchemaRef, plan: &DFSchema) -> SchemaRef {
    let columns = bound.fields().iter().zip(plan.fields());
    let fields =
        columns.map(|(own, field)| own.as_ref().clone().with_nullable(own.is_nullable() || field.is_nullable()));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// A plan, or a term of a recursive query, in the form that is lowered.
fn prepare(plan: LogicalPlan, term: Term, query: &ast::Query) -> Result<LogicalPlan, DataFusionError> {
    let plan = recursion::detach(plan, &|plan, term| prepare(plan, term, query))?;
    let plan = one_window::merge_windows(plan)
        .and_then(distinct_on::replace_distinct_on)
        .and_then(ordered_limit::settle_ties)
        .and_then(decorrelate::decorrelate)?;
    let plan = match term {
        Term::Plain => plan,
        Term::Recursive => {
            recursion::number_iterations(plan).map_err(|e| failure(Construct::Recursive.place(&e, query)))?
        }
    };
    let plan = guard::guard(plan)?;
    if let Some(construct) = Construct::refused_in(&plan)? {
        return Err(failure(construct.refuse(query)));
    }
    let plan = order_joins(plan)?;
    // Only columns that are used are taken from the inputs. No other rule is applied: a dataflow is what was written.
    let optimizer = Optimizer::with_rules(vec![Arc::new(OptimizeProjections::new())]);
    optimizer.optimize(plan, &OptimizerContext::new(), |_, _| {})
}

/// Of a plan with joins: conditions become those of the joins that they belong to or go below them, and relations are joined
/// in an order in which each has a condition with those before it, where there is one.
fn order_joins(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    if !plan.exists(|node| Ok(matches!(node, LogicalPlan::Join(_))))? {
        return guard::order_filters(plan);
    }
    let rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![
        Arc::new(cross_join::OrderJoins::default()),
        Arc::new(EliminateOuterJoin::new()),
        Arc::new(PushFilter::default()),
    ];
    let plan = guard::hold_risky(plan)?;
    let plan = Optimizer::with_rules(rules).optimize(plan, &OptimizerContext::new(), |_, _| {})?;
    guard::order_filters(dimensions::order_by_keys(guard::let_go(plan)?)?)
}

/// The columns of a query, and the relations it names: what a plain view needs to be created.
///
/// # Errors
/// What is wrong with the query.
pub fn describe_view(query: &ast::Query, catalog: &dyn Catalog) -> Result<(SchemaRef, Vec<RelationId>), SqlError> {
    let bound = bind_view(query, catalog)?;
    Ok((bound.schema, bound.named))
}

/// Binds a query that becomes a relation: no parameters, and each column name once.
fn bind_view(query: &ast::Query, catalog: &dyn Catalog) -> Result<Bound, SqlError> {
    let bound = bind_view_query(query, catalog, VIEW_TIME_ZONE)?;
    if !bound.parameters.is_empty() {
        return Err(SqlError::new(b"42P02", "there is no parameter $1"));
    }
    let mut names = HashSet::new();
    for field in bound.schema.fields() {
        if !names.insert(field.name().as_str()) {
            return Err(SqlError::new(b"42701", format!("column \"{}\" specified more than once", field.name())));
        }
    }
    Ok(bound)
}
