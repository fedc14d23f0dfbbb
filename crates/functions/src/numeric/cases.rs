//! Calls as `cases.txt` writes them, `function(argument, …) => answer`, where PostgreSQL 15 gave the answers.

use super::Numeric;
use crate::PgError;

/// Answers longer than this are given by their ends and length.
const SHOWN_MAX: usize = 150;

/// The answer of a call: a text, or `error`, the SQLSTATE and the message.
pub fn answer(function: &str, arguments: &[&str]) -> String {
    let text = evaluate(function, arguments)
        .unwrap_or_else(|error| format!("error {}: {}", error.sqlstate.as_str(), error.message));
    if text.len() <= SHOWN_MAX {
        return text;
    }
    format!("{}...{} ({} characters)", &text[..20], &text[text.len() - 20..], text.len())
}

fn evaluate(function: &str, arguments: &[&str]) -> Result<String, PgError> {
    if let Some(answer) = evaluate_other(function, arguments) {
        return answer;
    }
    let x = Numeric::parse(arguments[0])?;
    let number = |at: usize| arguments[at].parse::<i32>().unwrap();
    let y = || Numeric::parse(arguments[1]);
    let shown = |value: Option<u16>| value.map_or(String::new(), |value| value.to_string());
    let value = match function {
        "numeric" => x,
        "add" => x.add(&y()?)?,
        "sub" => x.subtract(&y()?)?,
        "mul" => x.multiply(&y()?)?,
        "div" => x.divide(&y()?)?,
        "div_trunc" => x.div_trunc(&y()?)?,
        "mod" => x.remainder(&y()?)?,
        "neg" => x.negate(),
        "abs" => x.abs(),
        "sign" => x.sign(),
        "ceil" => x.ceil()?,
        "floor" => x.floor()?,
        "round" => x.round(number(1))?,
        "trunc" => x.trunc(number(1))?,
        "cast" => x.round_to(number(1) as u16, number(2) as i16)?,
        "sqrt" => x.sqrt()?,
        "exp" => x.exp()?,
        "ln" => x.ln()?,
        "log10" => x.log10()?,
        "log" => x.log(&y()?)?,
        "power" => x.power(&y()?)?,
        "trim_scale" => x.trim_scale(),
        "gcd" => x.gcd(&y()?)?,
        "lcm" => x.lcm(&y()?)?,
        "scale" => return Ok(shown(x.scale())),
        "min_scale" => return Ok(shown(x.min_scale())),
        "cmp" => return Ok((x.cmp_value(&y()?) as i32).to_string()),
        "int2" => return Ok(x.to_integer(i16::MIN.into(), i16::MAX.into(), "smallint")?.to_string()),
        "int4" => return Ok(x.to_integer(i32::MIN.into(), i32::MAX.into(), "integer")?.to_string()),
        "int8" => return Ok(x.to_integer(i64::MIN, i64::MAX, "bigint")?.to_string()),
        "float8" => return Ok(format!("{:016x}", x.to_f64()?.to_bits())),
        "float4" => return Ok(format!("{:08x}", x.to_f32()?.to_bits())),
        "send" => {
            let mut bytes = Vec::new();
            x.to_wire(&mut bytes);
            assert_eq!(Numeric::from_wire(&bytes), Ok(x));
            return Ok(hexadecimal(&bytes));
        }
        "width_bucket" => {
            return Ok(x.width_bucket(&y()?, &Numeric::parse(arguments[2])?, number(3))?.to_string());
        }
        _ => panic!("no function {function}"),
    };
    // Whatever a function returns goes to bytes and back.
    assert_eq!(Numeric::decode(&value.to_bytes()).as_ref(), Ok(&value));
    Ok(value.to_string())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Functions whose first argument is no numeric.
fn evaluate_other(function: &str, arguments: &[&str]) -> Option<Result<String, PgError>> {
    let first = *arguments.first()?;
    Some(match function {
        "factorial" => Numeric::factorial(first.parse().unwrap()).map(|value| value.to_string()),
        "from_float8" => Ok(Numeric::from_f64(first.parse().unwrap()).to_string()),
        "from_float4" => Ok(Numeric::from_f32(first.parse().unwrap()).to_string()),
        "recv" => {
            let byte = |at: usize| u8::from_str_radix(&first[at..at + 2], 16).unwrap();
            let bytes: Vec<u8> = (0..first.len()).step_by(2).map(byte).collect();
            Numeric::from_wire(&bytes).map(|value| value.to_string())
        }
        "sum" | "avg" | "var_samp" | "var_pop" | "stddev_samp" | "stddev_pop" => aggregate(function, first),
        _ => return None,
    })
}

fn aggregate(function: &str, values: &str) -> Result<String, PgError> {
    let (mut count, mut sum, mut squares) = (0, Numeric::ZERO, Numeric::ZERO);
    for value in values.split(' ').filter(|value| !value.is_empty()) {
        let value = Numeric::parse(value)?;
        count += 1;
        sum = sum.add(&value)?;
        squares = squares.add(&value.multiply(&value)?)?;
    }
    if function == "sum" || function == "avg" {
        return Ok(if function == "sum" { sum } else { Numeric::average(&sum, count)? }.to_string());
    }
    let value = Numeric::variance_of(count, &sum, &squares, function.ends_with("pop"), function.starts_with("stddev"))?;
    Ok(value.map_or(String::new(), |value| value.to_string()))
}
