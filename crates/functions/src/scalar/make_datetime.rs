//! Dates, times and intervals made of their parts, and intervals put in order.

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, Time64MicrosecondType,
    TimestampMicrosecondType,
};

use super::columns::{INTERVAL, TIMESTAMP, double, fits, primitives};
use super::function::{Call, Function};
use super::interval_math::{interval, interval_out_of_range};
use crate::PgError;
use crate::text_format::calendar::{DAY, SECOND, days_from_date, days_in_month};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "make_date",
        aliases: &[],
        arguments: |t| fits(t, "iii"),
        result: |_| DataType::Date32,
        evaluate: |c, call| {
            primitives::<Date32Type>(c, call, |i| {
                let field = |k: usize| c[k].as_primitive::<Int64Type>().value(i);
                date(field(0), field(1), field(2)).map(|days| Some(days as i32))
            })
        },
    },
    Function {
        name: "make_time",
        aliases: &[],
        arguments: |t| fits(t, "iid"),
        result: |_| time_type(),
        evaluate: make_time,
    },
    Function {
        name: "make_timestamp",
        aliases: &[],
        arguments: |t| fits(t, "iiiiid"),
        result: |_| TIMESTAMP,
        evaluate: make_timestamp,
    },
    Function {
        name: "make_interval",
        aliases: &[],
        arguments: |t| fits(t, "iiiiiid"),
        result: |_| INTERVAL,
        evaluate: make_interval,
    },
    Function {
        name: "justify_days",
        aliases: &[],
        arguments: |t| fits(t, "v"),
        result: |_| INTERVAL,
        evaluate: justify,
    },
    Function {
        name: "justify_hours",
        aliases: &[],
        arguments: |t| fits(t, "v"),
        result: |_| INTERVAL,
        evaluate: justify_hours,
    },
];

fn time_type() -> DataType {
    DataType::Time64(arrow::datatypes::TimeUnit::Microsecond)
}

/// Days since 1970 of a date; negative years are BC.
fn date(year: i64, month: i64, day: i64) -> Result<i64, PgError> {
    let out_of_range = || PgError::new(b"22008", format!("date field value out of range: {year}-{month:02}-{day:02}"));
    let astronomical = if year < 0 { year + 1 } else { year };
    let valid = year != 0 && (-4713..=5_874_897).contains(&astronomical) && (1..=12).contains(&month);
    if !valid || day < 1 || day > days_in_month(astronomical, month) {
        return Err(out_of_range());
    }
    Ok(days_from_date(astronomical, month, day))
}

fn time(hour: i64, minute: i64, seconds: f64) -> Result<i64, PgError> {
    let micros = (seconds * 1e6).round();
    let valid = (0..=24).contains(&hour) && (0..60).contains(&minute) && (0.0..=60e6).contains(&micros);
    let time = if valid { (hour * 60 + minute) * 60 * SECOND + micros as i64 } else { 0 };
    if !valid || time > DAY {
        let message = format!("time field value out of range: {hour}:{minute:02}:{seconds:02}");
        return Err(PgError::new(b"22008", message));
    }
    Ok(time)
}

fn field(c: &[ArrayRef], place: usize, row: usize) -> i64 {
    c[place].as_primitive::<Int64Type>().value(row)
}

fn make_time(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    primitives::<Time64MicrosecondType>(c, call, |i| time(field(c, 0, i), field(c, 1, i), double(&c[2], i)).map(Some))
}

fn make_timestamp(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    primitives::<TimestampMicrosecondType>(c, call, |i| {
        let days = date(field(c, 0, i), field(c, 1, i), field(c, 2, i))?;
        let time = time(field(c, 3, i), field(c, 4, i), double(&c[5], i))?;
        let micros = days.checked_mul(DAY).and_then(|micros| micros.checked_add(time));
        micros.map(Some).ok_or_else(|| PgError::new(b"22008", "timestamp out of range"))
    })
}

fn make_interval(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    primitives::<IntervalMonthDayNanoType>(c, call, |i| {
        let f = |place| i128::from(field(c, place, i));
        let micros = (f(4) * 3600 + f(5) * 60) * i128::from(SECOND) + (double(&c[6], i) * 1e6).round() as i128;
        let small = |value: i128| i64::try_from(value).map_err(|_| interval_out_of_range());
        interval(small(f(0) * 12 + f(1))?, small(f(2) * 7 + f(3))?, small(micros)?).map(Some)
    })
}

fn justify(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    let intervals = c[0].as_primitive::<IntervalMonthDayNanoType>();
    primitives::<IntervalMonthDayNanoType>(c, call, |i| {
        let v = intervals.value(i);
        let months = v.months.checked_add(v.days / 30).ok_or_else(interval_out_of_range)?;
        let (mut months, mut days) = (months, v.days % 30);
        if months > 0 && days < 0 {
            (months, days) = (months - 1, days + 30);
        } else if months < 0 && days > 0 {
            (months, days) = (months + 1, days - 30);
        }
        Ok(Some(IntervalMonthDayNano { months, days, ..v }))
    })
}

fn justify_hours(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    const DAY_NANOS: i64 = DAY * 1000;
    let intervals = c[0].as_primitive::<IntervalMonthDayNanoType>();
    primitives::<IntervalMonthDayNanoType>(c, call, |i| {
        let v = intervals.value(i);
        let whole = i32::try_from(v.nanoseconds / DAY_NANOS).map_err(|_| interval_out_of_range())?;
        let days = v.days.checked_add(whole).ok_or_else(interval_out_of_range)?;
        let (mut days, mut nanoseconds) = (days, v.nanoseconds % DAY_NANOS);
        if days > 0 && nanoseconds < 0 {
            (days, nanoseconds) = (days - 1, nanoseconds + DAY_NANOS);
        } else if days < 0 && nanoseconds > 0 {
            (days, nanoseconds) = (days + 1, nanoseconds - DAY_NANOS);
        }
        Ok(Some(IntervalMonthDayNano { days, nanoseconds, ..v }))
    })
}
