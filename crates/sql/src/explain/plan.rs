//! The plan of a one-off query, a line per node, each above its inputs.

use datafusion::logical_expr::{Distinct, Expr, FetchType, LogicalPlan, SkipType, TableScan};

use super::Names;
use crate::bind::shown_name;

/// The plan's lines, deeper nodes further to the right.
pub fn plan_text(plan: &LogicalPlan) -> String {
    let names = Names::of(plan);
    let mut lines = Vec::new();
    write(plan, &names, 0, &mut lines);
    lines.join("\n")
}

fn write(plan: &LogicalPlan, names: &Names, depth: usize, lines: &mut Vec<String>) {
    lines.push(format!("{}{}", "  ".repeat(depth), node(plan, names)));
    for input in plan.inputs() {
        write(input, names, depth + 1, lines);
    }
}

fn node(plan: &LogicalPlan, names: &Names) -> String {
    match plan {
        LogicalPlan::Projection(projection) => {
            let items = projection.expr.iter().map(|e| item(e, names)).collect::<Vec<_>>();
            format!("Projection: {}", items.join(", "))
        }
        LogicalPlan::Filter(filter) => format!("Filter: {}", names.predicate(&filter.predicate)),
        LogicalPlan::Sort(sort) => {
            let keys = sort.expr.iter().map(|s| names.sort(s)).collect::<Vec<_>>().join(", ");
            let first = sort.fetch.map(|n| format!(", first {n}")).unwrap_or_default();
            format!("Sort: {keys}{first}")
        }
        LogicalPlan::Limit(limit) => {
            let skip = match limit.get_skip_type() {
                Ok(SkipType::Literal(0)) => String::new(),
                Ok(SkipType::Literal(n)) => format!(" offset {n}"),
                _ => limit.skip.as_ref().map(|e| format!(" offset {}", names.text(e))).unwrap_or_default(),
            };
            let fetch = match limit.get_fetch_type() {
                Ok(FetchType::Literal(Some(n))) => format!(" {n}"),
                Ok(FetchType::Literal(None)) => String::new(),
                _ => limit.fetch.as_ref().map(|e| format!(" {}", names.text(e))).unwrap_or_default(),
            };
            format!("Limit:{fetch}{skip}")
        }
        LogicalPlan::Aggregate(aggregate) => {
            let calls = names.list(&aggregate.aggr_expr);
            match names.list(&aggregate.group_expr) {
                keys if keys.is_empty() => format!("Aggregate: {calls}"),
                keys if calls.is_empty() => format!("Aggregate: group by {keys}"),
                keys => format!("Aggregate: {calls} group by {keys}"),
            }
        }
        LogicalPlan::Window(window) => format!("Window: {}", names.list(&window.window_expr)),
        LogicalPlan::Join(join) => {
            let mut on: Vec<String> =
                join.on.iter().map(|(l, r)| format!("{} = {}", names.text(l), names.text(r))).collect();
            on.extend(join.filter.as_ref().map(|filter| names.predicate(filter)));
            match on.as_slice() {
                [] => format!("{} Join", join.join_type),
                on => format!("{} Join: {}", join.join_type, on.join(" AND ")),
            }
        }
        LogicalPlan::Distinct(Distinct::All(_)) => "Distinct".to_owned(),
        LogicalPlan::TableScan(scan) => table_scan(scan, names),
        LogicalPlan::SubqueryAlias(alias) => format!("Alias: {}", alias.alias.table()),
        LogicalPlan::Values(values) => {
            let rows = values.values.len();
            format!("Values: {rows} row{}", if rows == 1 { "" } else { "s" })
        }
        LogicalPlan::EmptyRelation(empty) if empty.produce_one_row => "One row".to_owned(),
        LogicalPlan::EmptyRelation(_) => "No rows".to_owned(),
        other => other.display().to_string(),
    }
}

/// An item of a SELECT list, with its name unless that is the column's own.
fn item(expr: &Expr, names: &Names) -> String {
    let text = names.text(expr);
    match expr {
        Expr::Alias(alias) => {
            let name = shown_name(&alias.name);
            if text == name || text.ends_with(&format!(".{name}")) { text } else { format!("{text} AS {name}") }
        }
        _ => text,
    }
}

fn table_scan(scan: &TableScan, names: &Names) -> String {
    let columns: Vec<&str> = scan.projected_schema.fields().iter().map(|f| f.name().as_str()).collect();
    let mut text = format!("Scan: {} ({})", scan.table_name.table(), columns.join(", "));
    if !scan.filters.is_empty() {
        let filters: Vec<String> = scan.filters.iter().map(|f| names.predicate(f)).collect();
        text.push_str(&format!(" where {}", filters.join(" AND ")));
    }
    if let Some(fetch) = scan.fetch {
        text.push_str(&format!(" first {fetch}"));
    }
    text
}
