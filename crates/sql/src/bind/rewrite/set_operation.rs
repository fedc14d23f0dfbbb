//! INTERSECT and EXCEPT in the form of a UNION ALL whose right side is marked, for `bind::set_operation` to find in the
//! plan: the planner's own form is wrong for ALL, and for columns of equal names.

use datafusion::sql::sqlparser::ast::{SetExpr, SetOperator, SetQuantifier, TableFactor};

use crate::SqlError;
use crate::bind::set_operation::SetOperation;

/// Rewrites the set operations of a query's body.
pub fn mark(body: &mut SetExpr) -> Result<(), SqlError> {
    let SetExpr::SetOperation { op, set_quantifier, left, right } = body else { return Ok(()) };
    mark(left)?;
    mark(right)?;
    let all = match set_quantifier {
        SetQuantifier::All => true,
        SetQuantifier::None | SetQuantifier::Distinct => false,
        _ => return Ok(()),
    };
    let operation = match (&op, all) {
        (SetOperator::Intersect, true) => SetOperation::IntersectAll,
        (SetOperator::Intersect, false) => SetOperation::Intersect,
        (SetOperator::Except, true) => SetOperation::ExceptAll,
        (SetOperator::Except, false) => SetOperation::Except,
        _ => return Ok(()),
    };
    let mut marked = crate::parse_query(&format!("SELECT * FROM (SELECT 1) AS \"{}\"", operation.mark()))?;
    let SetExpr::Select(select) = marked.body.as_mut() else { return Ok(()) };
    let Some(TableFactor::Derived { subquery, .. }) = select.from.first_mut().map(|table| &mut table.relation) else {
        return Ok(());
    };
    std::mem::swap(&mut subquery.body, right);
    std::mem::swap(&mut marked.body, right);
    *op = SetOperator::Union;
    *set_quantifier = SetQuantifier::All;
    Ok(())
}
