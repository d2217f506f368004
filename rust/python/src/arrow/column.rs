//! The values of one column, until they are an array.

use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Decimal128Builder, PrimitiveBuilder, StringBuilder, StringDictionaryBuilder,
};
use arrow_array::types::{
    Date32Type, DurationMicrosecondType, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType, UInt32Type,
};
use arrow_array::{ArrayRef, ListArray};
use arrow_buffer::{NullBufferBuilder, OffsetBuffer};
use arrow_schema::{DataType, Field, TimeUnit};

use super::values;

/// A column, or the elements of the lists in it.
pub struct Column {
    values: Values,
    clamp: bool,
    /// Bytes of the text that a value may become.
    most: usize,
    lists: Option<Lists>,
}

struct Lists {
    ends: Vec<i32>,
    there: NullBufferBuilder,
}

enum Values {
    Bool(BooleanBuilder),
    Int2(PrimitiveBuilder<Int16Type>),
    Int4(PrimitiveBuilder<Int32Type>),
    Int8(PrimitiveBuilder<Int64Type>),
    Oid(PrimitiveBuilder<UInt32Type>),
    Float4(PrimitiveBuilder<Float32Type>),
    Float8(PrimitiveBuilder<Float64Type>),
    Date(PrimitiveBuilder<Date32Type>),
    Time(PrimitiveBuilder<Time64MicrosecondType>),
    /// Whether it has a time zone.
    Moment(PrimitiveBuilder<TimestampMicrosecondType>, bool),
    Interval(PrimitiveBuilder<DurationMicrosecondType>),
    Decimal(Decimal128Builder, (u8, i8)),
    Numeric(StringBuilder),
    Uuid(StringBuilder),
    Text(StringBuilder),
    Jsonb(StringBuilder),
    Enum(StringDictionaryBuilder<Int32Type>),
    Bytea(BinaryBuilder),
}

impl Values {
    fn new(kind: &str, digits: (u8, i8)) -> Option<Values> {
        Some(match kind {
            "bool" => Values::Bool(BooleanBuilder::new()),
            "int2" => Values::Int2(PrimitiveBuilder::new()),
            "int4" => Values::Int4(PrimitiveBuilder::new()),
            "int8" => Values::Int8(PrimitiveBuilder::new()),
            "oid" => Values::Oid(PrimitiveBuilder::new()),
            "float4" => Values::Float4(PrimitiveBuilder::new()),
            "float8" => Values::Float8(PrimitiveBuilder::new()),
            "date" => Values::Date(PrimitiveBuilder::new()),
            "time" => Values::Time(PrimitiveBuilder::new()),
            "timestamp" => Values::Moment(PrimitiveBuilder::new(), false),
            "timestamptz" => Values::Moment(PrimitiveBuilder::new().with_timezone("UTC"), true),
            "interval" => Values::Interval(PrimitiveBuilder::new()),
            "numeric" if digits.0 > 0 => {
                let kept = DataType::Decimal128(digits.0, digits.1);
                Values::Decimal(Decimal128Builder::new().with_data_type(kept), digits)
            }
            "numeric" => Values::Numeric(StringBuilder::new()),
            "uuid" => Values::Uuid(StringBuilder::new()),
            "text" => Values::Text(StringBuilder::new()),
            "jsonb" => Values::Jsonb(StringBuilder::new()),
            "enum" => Values::Enum(StringDictionaryBuilder::new()),
            "bytea" => Values::Bytea(BinaryBuilder::new()),
            _ => return None,
        })
    }

    fn data_type(&self) -> DataType {
        match self {
            Values::Bool(_) => DataType::Boolean,
            Values::Int2(_) => DataType::Int16,
            Values::Int4(_) => DataType::Int32,
            Values::Int8(_) => DataType::Int64,
            Values::Oid(_) => DataType::UInt32,
            Values::Float4(_) => DataType::Float32,
            Values::Float8(_) => DataType::Float64,
            Values::Date(_) => DataType::Date32,
            Values::Time(_) => DataType::Time64(TimeUnit::Microsecond),
            Values::Moment(_, zoned) => DataType::Timestamp(TimeUnit::Microsecond, zoned.then(|| "UTC".into())),
            Values::Interval(_) => DataType::Duration(TimeUnit::Microsecond),
            Values::Decimal(_, (precision, scale)) => DataType::Decimal128(*precision, *scale),
            Values::Numeric(_) | Values::Uuid(_) | Values::Text(_) | Values::Jsonb(_) => DataType::Utf8,
            Values::Enum(_) => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            Values::Bytea(_) => DataType::Binary,
        }
    }

    /// Take a value; how many bytes of text it became, where that is not what came.
    fn append(&mut self, value: Option<&[u8]>, clamp: bool) -> Result<usize, String> {
        let Some(data) = value else {
            self.append_null();
            return Ok(0);
        };
        use values::fixed;
        match self {
            Values::Bool(to) => to.append_value(fixed::<1>(data)?[0] != 0),
            Values::Int2(to) => to.append_value(i16::from_be_bytes(fixed(data)?)),
            Values::Int4(to) => to.append_value(i32::from_be_bytes(fixed(data)?)),
            Values::Int8(to) => to.append_value(i64::from_be_bytes(fixed(data)?)),
            Values::Oid(to) => to.append_value(u32::from_be_bytes(fixed(data)?)),
            Values::Float4(to) => to.append_value(f32::from_be_bytes(fixed(data)?)),
            Values::Float8(to) => to.append_value(f64::from_be_bytes(fixed(data)?)),
            Values::Date(to) => to.append_value(values::date(data, clamp)?),
            Values::Time(to) => to.append_value(values::time(data)?),
            Values::Moment(to, _) => to.append_value(values::moment(data, clamp)?),
            Values::Interval(to) => to.append_value(values::interval(data)?),
            Values::Decimal(to, digits) => to.append_value(values::decimal(data, *digits)?),
            Values::Numeric(to) => return Ok(append_text(to, &values::numeric(data)?)),
            Values::Uuid(to) => return Ok(append_text(to, &values::uuid(data)?)),
            Values::Text(to) => to.append_value(values::text(data)?),
            Values::Jsonb(to) => to.append_value(values::jsonb(data)?),
            Values::Enum(to) => to.append_value(values::text(data)?),
            Values::Bytea(to) => to.append_value(data),
        }
        Ok(0)
    }

    fn append_null(&mut self) {
        match self {
            Values::Bool(to) => to.append_null(),
            Values::Int2(to) => to.append_null(),
            Values::Int4(to) => to.append_null(),
            Values::Int8(to) => to.append_null(),
            Values::Oid(to) => to.append_null(),
            Values::Float4(to) => to.append_null(),
            Values::Float8(to) => to.append_null(),
            Values::Date(to) => to.append_null(),
            Values::Time(to) => to.append_null(),
            Values::Moment(to, _) => to.append_null(),
            Values::Interval(to) => to.append_null(),
            Values::Decimal(to, _) => to.append_null(),
            Values::Numeric(to) | Values::Uuid(to) | Values::Text(to) | Values::Jsonb(to) => to.append_null(),
            Values::Enum(to) => to.append_null(),
            Values::Bytea(to) => to.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Values::Bool(made) => Arc::new(made.finish()),
            Values::Int2(made) => Arc::new(made.finish()),
            Values::Int4(made) => Arc::new(made.finish()),
            Values::Int8(made) => Arc::new(made.finish()),
            Values::Oid(made) => Arc::new(made.finish()),
            Values::Float4(made) => Arc::new(made.finish()),
            Values::Float8(made) => Arc::new(made.finish()),
            Values::Date(made) => Arc::new(made.finish()),
            Values::Time(made) => Arc::new(made.finish()),
            Values::Moment(made, _) => Arc::new(made.finish()),
            Values::Interval(made) => Arc::new(made.finish()),
            Values::Decimal(made, _) => Arc::new(made.finish()),
            Values::Numeric(made) | Values::Uuid(made) | Values::Text(made) | Values::Jsonb(made) => {
                Arc::new(made.finish())
            }
            Values::Enum(made) => Arc::new(made.finish()),
            Values::Bytea(made) => Arc::new(made.finish()),
        }
    }
}

impl Column {
    /// An empty column; None for an unknown kind. `digits` are precision and scale of a numeric, 0 if nothing limits it;
    /// the text that a value becomes has at most `most` bytes.
    pub fn new(kind: &str, is_list: bool, digits: (u8, i8), clamp: bool, most: usize) -> Option<Self> {
        let lists = is_list.then(|| Lists { ends: vec![0], there: NullBufferBuilder::new(0) });
        Some(Column { values: Values::new(kind, digits)?, clamp, most, lists })
    }

    /// What it is in Arrow.
    pub fn data_type(&self) -> DataType {
        match self.lists {
            None => self.values.data_type(),
            Some(_) => DataType::List(self.element()),
        }
    }

    fn element(&self) -> Arc<Field> {
        Arc::new(Field::new("item", self.values.data_type(), true))
    }

    /// Take the next row's value; how many bytes of text it became, where that is not what came.
    pub fn append(&mut self, value: Option<&[u8]>) -> Result<usize, String> {
        let (values, clamp, most) = (&mut self.values, self.clamp, self.most);
        let mut size = 0;
        let mut take = |one: Option<&[u8]>| {
            size += values.append(one, clamp)?;
            if size > most { Err(too_long(most)) } else { Ok(()) }
        };
        let Some(lists) = &mut self.lists else {
            take(value)?;
            return Ok(size);
        };
        let count = match value {
            None => 0,
            Some(data) => elements(data, take)?,
        };
        lists.there.append(value.is_some());
        lists.ends.push(lists.ends[lists.ends.len() - 1].checked_add(count).ok_or("too many elements for one batch")?);
        Ok(size)
    }

    /// The array of all that was taken; the column is empty again.
    pub fn finish(&mut self) -> ArrayRef {
        let made = self.values.finish();
        let element = self.element();
        match &mut self.lists {
            None => made,
            Some(lists) => {
                let ends = std::mem::replace(&mut lists.ends, vec![0]);
                Arc::new(ListArray::new(element, OffsetBuffer::new(ends.into()), made, lists.there.finish()))
            }
        }
    }
}

/// Append a text; its size.
fn append_text(to: &mut StringBuilder, text: &str) -> usize {
    to.append_value(text);
    text.len()
}

/// What is wrong with a value that is longer than offsets allow.
pub fn too_long(most: usize) -> String {
    format!("a value of more than {most} bytes has no form in Arrow")
}

/// The elements of an array; how many. Layout: backend/utils/adt/arrayfuncs.c, array_send.
fn elements(data: &[u8], mut each: impl FnMut(Option<&[u8]>) -> Result<(), String>) -> Result<i32, String> {
    let short = || String::from("an array is shorter than it says");
    let number = |at: usize| {
        data.get(at..at + 4).and_then(|four| four.try_into().ok()).map(i32::from_be_bytes).ok_or_else(short)
    };
    let (count, mut at) = match number(0)? {
        0 => (0, 12),
        1 => (number(12)?, 20),
        more => return Err(format!("an array of {more} dimensions has no form in Arrow; cast it to text")),
    };
    for _ in 0..count {
        let length = number(at)?;
        at += 4;
        match usize::try_from(length) {
            Err(_) if length == -1 => each(None)?,
            Err(_) => return Err("an array has another length than it says".into()),
            Ok(length) => {
                each(Some(data.get(at..at + length).ok_or_else(short)?))?;
                at += length;
            }
        }
    }
    if count < 0 || at != data.len() {
        return Err("an array has another length than it says".into());
    }
    Ok(count)
}
