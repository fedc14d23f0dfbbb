//! Statistics of pairs: regression, correlation and covariance, from exact sums.

use super::aggregate::Function;
use super::exact::Decimal;
use super::value::Value;

/// The sums of pairs (y, x), each times the number of pairs, so that nothing is divided before the end.
struct Sums {
    count: Decimal,
    y: Decimal,
    x: Decimal,
    yy: Decimal,
    xx: Decimal,
    yx: Decimal,
}

impl Sums {
    fn of(pairs: &[(Value, Value)]) -> Sums {
        let zero = || Decimal::from_integer(0);
        let count = Decimal::from_integer(pairs.len() as i64);
        let (mut y, mut x, mut yy, mut xx, mut yx) = (zero(), zero(), zero(), zero(), zero());
        for (a, b) in pairs {
            let (a, b) = (exact(a), exact(b));
            yy = yy.add(&a.multiply(&a));
            xx = xx.add(&b.multiply(&b));
            yx = yx.add(&a.multiply(&b));
            y = y.add(&a);
            x = x.add(&b);
        }
        let centred =
            |squares: &Decimal, a: &Decimal, b: &Decimal| count.multiply(squares).add(&a.multiply(b).negate());
        let (yy, xx, yx) = (centred(&yy, &y, &y), centred(&xx, &x, &x), centred(&yx, &y, &x));
        Sums { count, y, x, yy, xx, yx }
    }
}

fn exact(value: &Value) -> Decimal {
    match value {
        Value::Float(f) => Decimal::from_float(*f),
        other => other.decimal(),
    }
}

/// The value over pairs without NULL.
#[must_use]
pub fn of_pairs(function: Function, pairs: &[(Value, Value)]) -> Value {
    if function == Function::RegressionCount {
        return Value::Integer(pairs.len() as i64);
    }
    if pairs.is_empty() {
        return Value::Null;
    }
    let sums = Sums::of(pairs);
    let n = sums.count.to_float();
    let [y, x, yy, xx, yx] = [&sums.y, &sums.x, &sums.yy, &sums.xx, &sums.yx].map(Decimal::to_float);
    let value = match function {
        Function::PopulationCovariance => yx / n / n,
        Function::Covariance if pairs.len() < 2 => return Value::Null,
        Function::Covariance => yx / n / (n - 1.0),
        Function::Correlation if yy == 0.0 || xx == 0.0 => return Value::Null,
        Function::Correlation => yx / (yy * xx).sqrt(),
        Function::Slope | Function::Intercept if xx == 0.0 => return Value::Null,
        Function::Slope => yx / xx,
        Function::Intercept => (y - x * yx / xx) / n,
        Function::Determination if xx == 0.0 => return Value::Null,
        Function::Determination if yy == 0.0 => 1.0,
        Function::Determination => yx / xx * (yx / yy),
        _ => panic!("{function:?} takes no pairs"),
    };
    Value::Float(value)
}
