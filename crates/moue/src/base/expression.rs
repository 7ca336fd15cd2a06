//! The eight expressions and their domain labels.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::error::Error;

/// A facial expression. The order is the label's index everywhere: in weights, manifests and tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Expression {
    Angry,
    Contemptuous,
    Disgusted,
    Fearful,
    Happy,
    Neutral,
    Sad,
    Surprised,
}

impl Expression {
    /// How many expressions, and so how many label planes, there are.
    pub const COUNT: usize = 8;

    /// All of them, in the order of their indices.
    pub const ALL: [Expression; Self::COUNT] = [
        Self::Angry,
        Self::Contemptuous,
        Self::Disgusted,
        Self::Fearful,
        Self::Happy,
        Self::Neutral,
        Self::Sad,
        Self::Surprised,
    ];

    /// Position in [`Expression::ALL`], 0 to 7.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The expression of an index; `None` from 8 on.
    pub fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }

    /// The name in files, on the command line and in tables: `angry`, `contemptuous`, …
    pub fn name(self) -> &'static str {
        match self {
            Self::Angry => "angry",
            Self::Contemptuous => "contemptuous",
            Self::Disgusted => "disgusted",
            Self::Fearful => "fearful",
            Self::Happy => "happy",
            Self::Neutral => "neutral",
            Self::Sad => "sad",
            Self::Surprised => "surprised",
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for Expression {
    type Err = Error;

    /// Reads a name as data sets spell it: any case, and the noun as well as the adjective
    /// (`anger`, `contempt`, `disgust`, `fear`, `happiness`, `sadness`, `surprise`).
    fn from_str(text: &str) -> Result<Self, Error> {
        let name = text.trim().to_ascii_lowercase();
        Ok(match name.as_str() {
            "angry" | "anger" => Self::Angry,
            "contemptuous" | "contempt" => Self::Contemptuous,
            "disgusted" | "disgust" => Self::Disgusted,
            "fearful" | "fear" | "afraid" => Self::Fearful,
            "happy" | "happiness" | "joy" => Self::Happy,
            "neutral" => Self::Neutral,
            "sad" | "sadness" => Self::Sad,
            "surprised" | "surprise" => Self::Surprised,
            _ => {
                let known: Vec<_> = Self::ALL.iter().map(|e| e.name()).collect();
                return Err(Error::config(
                    format!("'{text}' is no expression"),
                    format!("use one of {}", known.join(", ")),
                ));
            }
        })
    }
}

/// Which expressions are asked for, of a model or of a training: the word `all`, or names with commas between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Targets {
    /// All that can be had.
    All,
    /// These, each once.
    These(Vec<Expression>),
}

impl FromStr for Targets {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.trim().eq_ignore_ascii_case("all") {
            return Ok(Self::All);
        }
        let mut targets = Vec::new();
        for name in text.split(',') {
            let target = name.parse().map_err(|error: Error| {
                Error::config(error.to_string(), format!("{} or all", error.hint().unwrap_or_default()))
            })?;
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        Ok(Self::These(targets))
    }
}

/// The labels as one-hot rows, `[batch, 8]`, 1 at each expression's index.
pub fn one_hot(expressions: &[Expression], device: &Device) -> Tensor<2> {
    let mut rows = vec![0f32; expressions.len() * Expression::COUNT];
    for (row, expression) in rows.chunks_mut(Expression::COUNT).zip(expressions) {
        row[expression.index()] = 1.0;
    }
    Tensor::from_data(TensorData::new(rows, [expressions.len(), Expression::COUNT]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_indices_lead_back_to_the_expression() {
        for (index, expression) in Expression::ALL.into_iter().enumerate() {
            assert_eq!(expression.index(), index);
            assert_eq!(Expression::from_index(index), Some(expression));
            assert_eq!(expression.name().parse::<Expression>().unwrap(), expression);
        }
        assert_eq!(Expression::from_index(8), None);
        assert_eq!("Fear".parse::<Expression>().unwrap(), Expression::Fearful);
        assert!("hungry".parse::<Expression>().unwrap_err().hint().unwrap().contains("surprised"));
    }

    #[test]
    fn targets_are_all_or_some_each_once() {
        assert_eq!("All".parse::<Targets>().unwrap(), Targets::All);
        let these = Targets::These(vec![Expression::Sad, Expression::Happy]);
        assert_eq!("sad, happy,sad".parse::<Targets>().unwrap(), these);
        let error = "sad,hungry".parse::<Targets>().unwrap_err();
        assert!(error.to_string().contains("hungry") && error.hint().unwrap().ends_with("or all"));
    }

    #[test]
    fn one_hot_rows_have_a_single_one() {
        let rows = one_hot(&[Expression::Sad, Expression::Angry], &Device::flex()).into_data();
        let rows = rows.try_to_vec::<f32>().unwrap();
        assert_eq!(rows[..8], [0., 0., 0., 0., 0., 0., 1., 0.]);
        assert_eq!(rows[8..], [1., 0., 0., 0., 0., 0., 0., 0.]);
    }
}
