//! `fractional`: which share somebody falls into. The same key falls into the same one, always and
//! everywhere: the arithmetic is flagd's, to the bit.

use serde_json::Value;

/// The name of what was drawn; null if nothing can be, which means the default variant.
///
/// The hash is MurmurHash3 (x86, 32 bits, seed 0) of the first operand if it is a text, of the flag's
/// key and the targeting key one behind the other if not. It is scaled to the sum of the weights.
pub(super) fn choose(operands: &Value, data: &Value) -> Value {
    chosen(operands, data).unwrap_or(Value::Null)
}

fn chosen(operands: &Value, data: &Value) -> Option<Value> {
    let operands = operands.as_array()?;
    let (key, shares) = match operands.split_first()? {
        (Value::String(key), shares) => (key.clone(), shares),
        (Value::Null, shares) => (own_key(data)?, shares),
        _ => (own_key(data)?, operands.as_slice()),
    };
    let shares: Vec<(&Value, u32)> = shares.iter().map(share).collect::<Option<_>>()?;
    let total: u64 = shares.iter().map(|(_, weight)| u64::from(*weight)).sum();
    if total > u64::from(MOST) {
        return None;
    }
    // Reading from memory does not fail.
    let hash = murmur3::murmur3_32(&mut key.as_bytes(), 0).ok()?;
    let drawn = (u64::from(hash) * total) >> 32;
    let mut end = 0;
    for (name, weight) in shares {
        end += u64::from(weight);
        if drawn < end {
            return Some(name.clone());
        }
    }
    None
}

const MOST: u32 = i32::MAX as u32;

fn own_key(data: &Value) -> Option<String> {
    let flag = data["$flagd"]["flagKey"].as_str()?;
    let target = data["targetingKey"].as_str().filter(|key| !key.is_empty())?;
    Some(format!("{flag}{target}"))
}

/// `[name, weight]`; without a weight it is 1, and below nothing is nothing.
fn share(value: &Value) -> Option<(&Value, u32)> {
    let (name, rest) = value.as_array()?.split_first()?;
    if name.is_array() || name.is_object() {
        return None;
    }
    let weight = match rest.first() {
        None | Some(Value::Null) => 1.0,
        Some(weight) => weight.as_f64()?,
    };
    if weight.fract() != 0.0 || weight > f64::from(MOST) {
        return None;
    }
    Some((name, weight.max(0.0) as u32))
}
