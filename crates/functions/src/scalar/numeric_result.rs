//! Of which type the result of arithmetic on numerics is: a decimal of one scale where its digits are known to fit, or all
//! but certain to, else `NUMERIC`, whose values have any number of digits and a scale of their own.

use arrow::datatypes::DataType;

use super::arithmetic::Operator;
use crate::NUMERIC;

/// Digits of a decimal.
const DIGITS_MAX: i16 = 38;
/// Operands of products that may need more than 38 digits, but only for values that are no amounts of anything: the
/// result stays a decimal, and a value beyond its digits is an error (22003). Sums have 38 digits.
const FACTOR_DIGITS_MAX: i16 = 31;
/// More decimal places than amounts have: their products are numerics.
const PRODUCT_SCALE_MAX: i16 = 16;
/// As much more than 38 digits may sums need for the same reason.
const TERM_EXCESS_MAX: i16 = 8;

/// The decimal type that holds every value of an integer type; of others, the type itself.
pub(super) fn decimal_of(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Int16 => DataType::Decimal128(5, 0),
        DataType::Int32 => DataType::Decimal128(10, 0),
        DataType::Int64 => DataType::Decimal128(19, 0),
        other => other.clone(),
    }
}

/// The type of the operator's result for operands of which one is a numeric.
pub(super) fn numeric_result(operator: Operator, left: &DataType, right: &DataType) -> DataType {
    let (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)) = (decimal_of(left), decimal_of(right)) else {
        return NUMERIC;
    };
    let [p1, s1, p2, s2] = [i16::from(p1), i16::from(s1), i16::from(p2), i16::from(s2)];
    let (digits, scale, fits) = match operator {
        // How many places a quotient has depends on the values.
        Operator::Divide => return NUMERIC,
        Operator::Multiply => {
            let digits = p1 + p2;
            let small = p1.max(p2) <= FACTOR_DIGITS_MAX && s1 + s2 <= PRODUCT_SCALE_MAX;
            (digits, s1 + s2, small)
        }
        _ => {
            let digits = (p1 - s1).max(p2 - s2) + 1 + s1.max(s2);
            (digits, s1.max(s2), digits <= DIGITS_MAX + TERM_EXCESS_MAX)
        }
    };
    if digits > DIGITS_MAX && !fits {
        return NUMERIC;
    }
    DataType::Decimal128(digits.min(DIGITS_MAX) as u8, scale as i8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use DataType::Decimal128;

    #[test]
    fn digits_grow_until_they_do_not_fit() {
        let price = Decimal128(15, 2);
        let rest = numeric_result(Operator::Subtract, &DataType::Int32, &price);
        assert_eq!(rest, Decimal128(16, 2));
        let paid = numeric_result(Operator::Multiply, &price, &rest);
        assert_eq!(paid, Decimal128(31, 4));
        assert_eq!(numeric_result(Operator::Multiply, &paid, &rest), Decimal128(38, 6));
        let sum = Decimal128(38, 4);
        assert_eq!(numeric_result(Operator::Multiply, &sum, &price), NUMERIC);
        assert_eq!(numeric_result(Operator::Add, &sum, &price), Decimal128(38, 4));
        assert_eq!(numeric_result(Operator::Add, &sum, &Decimal128(38, 30)), NUMERIC);
        assert_eq!(numeric_result(Operator::Divide, &price, &price), NUMERIC);
        assert_eq!(numeric_result(Operator::Multiply, &Decimal128(10, 9), &Decimal128(30, 9)), NUMERIC);
    }
}
