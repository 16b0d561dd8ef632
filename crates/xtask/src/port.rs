//! The ports on 127.0.0.1 where the servers of tests listen: another than the usual one can be told by flag or environment.

/// The port that `variable` tells, or the usual one; none above `most`.
///
/// # Errors
/// What it tells is no port.
pub fn told(variable: &str, usual: u16, most: u16) -> Result<u16, String> {
    match std::env::var(variable) {
        Ok(value) => parse(&value, most),
        Err(_) => Ok(usual),
    }
}

/// A port that needs no rights and is at most `most`.
///
/// # Errors
/// The text is none.
pub fn parse(value: &str, most: u16) -> Result<u16, String> {
    value
        .parse()
        .ok()
        .filter(|port| (1024..=most).contains(port))
        .ok_or(format!("`{value}` is no port from 1024 to {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_lies_within_bounds() {
        assert_eq!(parse("1024", 2000), Ok(1024));
        assert_eq!(parse("2000", 2000), Ok(2000));
        for wrong in ["1023", "2001", "", "x", "-1", "70000"] {
            let told = parse(wrong, 2000).unwrap_err();
            assert!(told.contains("1024 to 2000"), "{told}");
        }
    }
}
