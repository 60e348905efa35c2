//! A JSON parser that also reports repeated members.

use std::fmt::{self, Display};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::validation::{MAX_FIELD_ERRORS, truncated_name};

/// Parses a text, and returns the value and the paths of repeated members. If there are many of these, only
/// some are returned.
///
/// # Errors
/// When it is not JSON.
pub(super) fn parse(bytes: &[u8]) -> Result<(Value, Vec<String>), serde_json::Error> {
    let mut repeated = Vec::new();
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let reader = JsonReader {
        path: &JsonPath::Root,
        repeated: &mut repeated,
    };
    let value = reader.deserialize(&mut json)?;
    json.end()?;
    Ok((value, repeated))
}

/// Path of a value in a document.
enum JsonPath<'p> {
    Root,
    Member(&'p JsonPath<'p>, &'p str),
    Item(&'p JsonPath<'p>, usize),
}

impl Display for JsonPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Member(JsonPath::Root, name) => f.write_str(&truncated_name(name)),
            Self::Member(parent, name) => write!(f, "{parent}.{}", truncated_name(name)),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

struct JsonReader<'r> {
    path: &'r JsonPath<'r>,
    repeated: &'r mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for JsonReader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for JsonReader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        loop {
            let item = JsonReader {
                path: &JsonPath::Item(self.path, values.len()),
                repeated: &mut *self.repeated,
            };
            match items.next_element_seed(item)? {
                Some(value) => values.push(value),
                None => return Ok(Value::Array(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let path = JsonPath::Member(self.path, &name);
            let value = members.next_value_seed(JsonReader {
                path: &path,
                repeated: &mut *self.repeated,
            })?;
            if values.contains_key(&name) {
                if self.repeated.len() < MAX_FIELD_ERRORS {
                    self.repeated.push(path.to_string());
                }
                continue;
            }
            values.insert(name, value);
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_value_is_parsed_unchanged() {
        let text =
            r#" {"a": [null, true, -1, 18446744073709551615, 1.5, 1e300, "x\u00fc\n"], "": {}} "#;

        let (value, repeated) = parse(text.as_bytes()).unwrap();

        assert_eq!(value, serde_json::from_str::<Value>(text).unwrap());
        assert_eq!(value["a"][6], json!("xü\n"));
        assert_eq!(repeated, [""; 0]);
    }

    #[test]
    fn a_repeated_member_is_reported_with_its_path() {
        for (text, names) in [
            (
                r#"{"username":"alice","password":"x","username":"root"}"#,
                vec!["username"],
            ),
            (r#"{"a":1,"a":1}"#, vec!["a"]),
            (r#"{"a":1,"\u0061":2}"#, vec!["a"]),
            (r#"{"a":null,"a":null,"a":null}"#, vec!["a", "a"]),
            (r#"{"":1,"":2}"#, vec![""]),
            (r#"{"a":{"b":1,"b":2}}"#, vec!["a.b"]),
            (
                r#"[{"a":1},{"a":1,"b":[{"c":1,"c":2}]}]"#,
                vec!["[1].b[0].c"],
            ),
            (r#"{"a":{"x":1,"x":1},"b":2,"b":3}"#, vec!["a.x", "b"]),
        ] {
            let (_, repeated) = parse(text.as_bytes()).unwrap();

            assert_eq!(repeated, names, "{text}");
        }
        for good in [
            r#"{"a":1,"A":2,"b":{"a":1}}"#,
            r#"[{"a":1},{"a":1}]"#,
            "[]",
            "1",
        ] {
            assert_eq!(parse(good.as_bytes()).unwrap().1, [""; 0], "{good}");
        }
    }

    #[test]
    fn invalid_json_is_refused() {
        let deep = "[".repeat(100_000);
        for text in [
            "",
            "{",
            "{}x",
            "{} {}",
            "{'a':1}",
            r#"{"a":1,}"#,
            "\u{feff}{}",
            "NaN",
            &deep,
        ] {
            assert!(
                parse(text.as_bytes()).is_err(),
                "{}",
                &text[..text.len().min(20)]
            );
        }
        assert!(parse(b"\"\xff\"").is_err());
        assert!(parse(b"\x1f\x8b\x08\x00").is_err());
    }

    #[test]
    fn the_number_of_reported_repetitions_is_limited() {
        let long = format!("{{{}\"a\":1}}", "\"a\":1,".repeat(5000));

        assert_eq!(parse(long.as_bytes()).unwrap().1.len(), MAX_FIELD_ERRORS);
    }
}
