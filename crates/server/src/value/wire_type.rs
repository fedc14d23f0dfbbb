//! PostgreSQL's numbers for types, as row and parameter descriptions tell them.

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef};
use sql::SqlType;

const INT2VECTOR_OID: u32 = 22;
const OIDVECTOR_OID: u32 = 30;
/// What a client says that leaves a parameter's type to the server: nothing, or `unknown`.
const UNKNOWN_OIDS: [u32; 2] = [0, 705];

/// A type as row and parameter descriptions tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireType {
    pub oid: u32,
    /// Bytes of a value; −1 if that varies.
    pub size: i16,
    /// Declared length or precision, −1 if there is none.
    pub modifier: i32,
    /// Type of an array's elements; 0 for other types.
    pub element_oid: u32,
}

impl WireType {
    /// The type itself, or that of an array's elements.
    pub fn leaf_oid(&self) -> u32 {
        if self.element_oid == 0 { self.oid } else { self.element_oid }
    }

    /// Whether it is `int2vector` or `oidvector`, arrays with a look of their own.
    pub fn is_vector(&self) -> bool {
        matches!(self.oid, INT2VECTOR_OID | OIDVECTOR_OID)
    }
}

/// The type of a result column or parameter.
pub fn wire_type(field: &Field) -> WireType {
    let sql_type = SqlType::from_field(field);
    WireType {
        oid: sql_type.oid(),
        size: if sql_type.is_array() { -1 } else { sql_type.base().length },
        modifier: sql_type.modifier(),
        element_oid: sql_type.element().map_or(0, |element| element.base().oid),
    }
}

/// The type of a parameter to which the client gave this OID, `None` if it leaves that to the server.
///
/// # Errors
/// The OID, if no type has it.
pub fn parameter_field(oid: u32) -> Result<Option<FieldRef>, u32> {
    if UNKNOWN_OIDS.contains(&oid) {
        return Ok(None);
    }
    let sql_type = SqlType::from_oid(oid).ok_or(oid)?;
    Ok(Some(Arc::new(sql_type.field("parameter", true))))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;

    use super::*;

    #[test]
    fn oids_there_and_back() {
        for (oid, element_oid) in [(16, 0), (23, 0), (1043, 0), (1007, 23), (1009, 25), (3802, 0), (22, 21)] {
            let field = parameter_field(oid).expect("known").expect("a type");
            let found = wire_type(&field);
            assert_eq!((found.oid, found.element_oid), (oid, element_oid));
        }
        assert_eq!(parameter_field(0), Ok(None));
        assert_eq!(parameter_field(123_456), Err(123_456));
    }

    #[test]
    fn sizes_and_modifiers() {
        let numeric =
            SqlType::from_ast(&sql::ast::DataType::Numeric(sql::ast::ExactNumberInfo::PrecisionAndScale(10, 2)));
        let numeric = wire_type(&numeric.expect("a type").field("c", true));
        assert_eq!((numeric.size, numeric.modifier), (-1, 655_366));
        assert_eq!(wire_type(&Field::new("c", DataType::Decimal128(10, 2), true)).modifier, -1);
        assert_eq!(wire_type(&Field::new("c", DataType::Int64, true)).size, 8);
        let array = DataType::new_list(DataType::Int64, true);
        assert_eq!(wire_type(&Field::new("c", array, true)).size, -1);
    }
}
