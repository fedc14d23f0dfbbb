//! Windows that are defined by others: `OVER (w ROWS …)` gets the partitions and the order of `w`.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Expr, NamedWindowExpr, WindowSpec, WindowType, visit_expressions_mut};

use crate::SqlError;

/// Puts what named windows say in the place of their names.
pub fn resolve(select: &mut ast::Select) -> Result<(), SqlError> {
    if select.named_window.is_empty() {
        return Ok(());
    }
    let mut named: Vec<(String, WindowSpec)> = Vec::new();
    for window in &mut select.named_window {
        if let NamedWindowExpr::WindowSpec(spec) = &mut window.1 {
            extend(spec, &named)?;
            named.push((window.0.value.clone(), spec.clone()));
        }
    }
    let mut visit = |expr: &mut Expr| {
        let extended = match expr {
            Expr::Function(function) => match &mut function.over {
                Some(WindowType::WindowSpec(spec)) => extend(spec, &named),
                _ => Ok(()),
            },
            _ => Ok(()),
        };
        match extended {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    };
    for item in &mut select.projection {
        if let ControlFlow::Break(error) = visit_expressions_mut(item, &mut visit) {
            return Err(error);
        }
    }
    Ok(())
}

fn extend(spec: &mut WindowSpec, named: &[(String, WindowSpec)]) -> Result<(), SqlError> {
    let Some(name) = spec.window_name.clone() else { return Ok(()) };
    let Some((_, base)) = named.iter().find(|(other, _)| *other == name.value) else { return Ok(()) };
    let refused = |what: &str| Err(SqlError::new(b"42P20", format!("cannot {what} of window \"{}\"", name.value)));
    let written = spec.partition_by.iter().any(|expr| !is_mark(expr));
    if written {
        return refused("override PARTITION BY clause");
    }
    if !base.order_by.is_empty() && !spec.order_by.is_empty() {
        return refused("override ORDER BY clause");
    }
    if base.window_frame.is_some() {
        let message = format!("cannot copy window \"{}\" because it has a frame clause", name.value);
        return Err(SqlError::new(b"42P20", message));
    }
    spec.window_name = None;
    spec.partition_by.extend(base.partition_by.iter().cloned());
    if spec.order_by.is_empty() {
        spec.order_by = base.order_by.clone();
    }
    Ok(())
}

/// Whether a partition key stands for an EXCLUDE clause.
fn is_mark(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => matches!(&value.value, ast::Value::SingleQuotedString(text)
            if text.starts_with(crate::window::EXCLUDE_MARK)),
        Expr::Nested(inner) => is_mark(inner),
        _ => false,
    }
}
