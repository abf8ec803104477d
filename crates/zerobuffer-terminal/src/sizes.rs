//! Sizes as people write them: `4096`, `64K`, `64M`, `1.5GiB`.

/// Reads a size in bytes. `K`, `M`, `G` (also `KiB`, `KB`, …) are powers of 1024.
pub fn parse(text: &str) -> Result<usize, String> {
    let text = text.trim();
    let digits =
        text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number = number.replace('_', "");
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        other => return Err(format!("unknown unit `{other}`: use K, M or G, as in 64M")),
    };
    if let Ok(whole) = number.parse::<usize>() {
        return whole
            .checked_shl(shift)
            .filter(|bytes| bytes >> shift == whole)
            .ok_or_else(|| "too large".to_owned());
    }
    match number.parse::<f64>() {
        Ok(part) if shift > 0 && part.is_finite() => {
            let bytes = part * (1u64 << shift) as f64;
            // 2^64: the conversion would cut off what is larger, rather than refuse it.
            if bytes < usize::MAX as f64 { Ok(bytes as usize) } else { Err("too large".to_owned()) }
        }
        _ => Err("not a size: write 4096, 64K, 64M or 1.5G".to_owned()),
    }
}

/// The other direction: `32.0 MiB`.
pub fn show(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::{parse, show};

    #[test]
    fn sizes_are_read_with_and_without_units() {
        assert_eq!(parse("0"), Ok(0));
        assert_eq!(parse("4096"), Ok(4096));
        assert_eq!(parse("268_435_456"), Ok(268_435_456));
        assert_eq!(parse("64M"), Ok(64 << 20));
        assert_eq!(parse("64 MiB"), Ok(64 << 20));
        assert_eq!(parse("1.5k"), Ok(1536));
        assert_eq!(parse("2g"), Ok(2 << 30));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "M", "-1", "1.5", "12 parsecs", "99999999999999999999", "99999999999G"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        for text in ["99999999999999999999K", "17179869184.5G", "18446744073709551616b"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn sizes_are_shown_short() {
        assert_eq!(show(512), "512 B");
        assert_eq!(show(32 << 20), "32.0 MiB");
        assert_eq!(show(3_110_400), "3.0 MiB");
    }
}
