//! UNION: each column is brought to one type, by PostgreSQL's rules and not the planner's, which would make a numeric of
//! a float.

use std::sync::Arc;

use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, Union};

use super::common_type::common_type;
use super::{Coercion, failure};
use crate::{SqlError, SqlType};

impl Coercion {
    /// The union with inputs of one type.
    ///
    /// # Errors
    /// 42804 for columns that have no type in common.
    pub(super) fn union(&self, union: Union) -> Result<LogicalPlan> {
        let mut common: Vec<SqlType> = union.schema.fields().iter().map(|f| SqlType::from_field(f)).collect();
        for (place, input) in union.inputs.iter().enumerate() {
            for (common, field) in common.iter_mut().zip(input.schema().fields()) {
                let found = SqlType::from_field(field);
                *common = match place {
                    0 => found,
                    _ => common_type(common, &found).ok_or_else(|| {
                        let message = format!("UNION types {} and {} cannot be matched", common.name(), found.name());
                        failure(SqlError::new(b"42804", message))
                    })?,
                };
            }
        }
        let inputs =
            union.inputs.into_iter().map(|input| self.cast_columns(input, &common)).collect::<Result<Vec<_>>>()?;
        let fields = union.schema.iter().zip(&common).enumerate().map(|(n, ((table, field), wanted))| {
            let nullable = inputs.iter().any(|input| input.schema().field(n).is_nullable());
            (table.cloned(), Arc::new(wanted.field(field.name().clone(), nullable)))
        });
        let fields = fields.collect();
        let schema = DFSchema::new_with_metadata(fields, union.schema.metadata().clone())?;
        Ok(LogicalPlan::Union(Union { inputs, schema: Arc::new(schema) }))
    }

    /// The plan with columns of these types.
    pub(super) fn cast_columns(&self, plan: Arc<LogicalPlan>, wanted: &[SqlType]) -> Result<Arc<LogicalPlan>> {
        let schema = Arc::clone(plan.schema());
        if schema.fields().iter().zip(wanted).all(|(field, wanted)| SqlType::from_field(field) == *wanted) {
            return Ok(plan);
        }
        let columns = schema.iter().zip(wanted).map(|((table, field), wanted)| {
            let column = Expr::from((table, field));
            let cast = match field.data_type().is_null() {
                true => Expr::Cast(Cast::new(Box::new(column), wanted.data_type().clone())),
                false => self.cast(column, wanted, &schema)?,
            };
            Ok(cast.alias_qualified(table.cloned(), field.name().clone()))
        });
        let projection = Projection::try_new(columns.collect::<Result<_>>()?, plan)?;
        Ok(Arc::new(LogicalPlan::Projection(projection)))
    }
}
