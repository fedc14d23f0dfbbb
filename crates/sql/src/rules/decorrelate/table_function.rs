//! Functions in FROM as `unnest` over the rows that hold their arguments.

use std::sync::Arc;

use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, Result, UnnestOptions};
use datafusion::logical_expr::{EmptyRelation, Expr, LogicalPlan, LogicalPlanBuilder, TableScan};

use super::Decorrelation;
use super::columns::{Domain, project};
use crate::bind::FunctionTable;

impl Decorrelation {
    /// A function in FROM whose arguments are constants, or columns of queries further out.
    pub fn function_alone(&mut self, table: &FunctionTable, scan: TableScan) -> Result<LogicalPlan> {
        let mut names_outer = false;
        for argument in table.arguments() {
            names_outer |= argument.exists(|part| Ok(matches!(part, Expr::OuterReferenceColumn(..))))?;
        }
        // Its rows are put on top of those that have the columns.
        if names_outer {
            return Ok(LogicalPlan::TableScan(scan));
        }
        let schema = Arc::new(datafusion::common::DFSchema::empty());
        let plan = LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: true, schema });
        rows(&Domain { plan, columns: Vec::new() }, table, &scan, false)
    }
}

/// The domain's rows, each with the rows that a function gives for it; with `keep_empty` also where it gives none.
pub fn rows(domain: &Domain, table: &FunctionTable, scan: &TableScan, keep_empty: bool) -> Result<LogicalPlan> {
    let mut items = domain.exprs();
    let arguments =
        table.arguments().iter().map(|argument| domain.bind(argument.clone())).collect::<Result<Vec<_>>>()?;
    let lists = table.lists(arguments)?;
    let name = |place: usize| format!("{}\u{1}{place}", scan.table_name.table());
    for (place, list) in lists.iter().enumerate() {
        items.push(list.clone().alias(name(place)));
    }
    let lists = (0..lists.len()).map(|place| Column::from_name(name(place))).collect::<Vec<_>>();
    let options = UnnestOptions::new().with_preserve_nulls(keep_empty);
    let plan = LogicalPlanBuilder::from(project(domain.plan.clone(), items)?)
        .unnest_columns_with_options(lists.clone(), options)?
        .build()?;
    let mut exprs = domain.exprs();
    let fields = scan.projected_schema.iter();
    for (list, (qualifier, field)) in lists.into_iter().zip(fields) {
        exprs.push(Expr::Column(list).alias_qualified(qualifier.cloned(), field.name()));
    }
    project(plan, exprs)
}
