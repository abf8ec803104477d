//! A run as a picture: memory, descriptors, mappings, files and latency over time.

use std::path::Path;

use plotters::prelude::*;

use crate::soak::{Sample, Seen};

/// What a panel shows of a sample.
type Value = fn(&Sample) -> Option<f64>;

const SIZE: (u32, u32) = (1200, 1500);
/// Where the names of the lines begin.
const LEGEND: i32 = 1075;

/// Draws into an SVG file.
pub(crate) fn draw(seen: &Seen, path: &Path) -> anyhow::Result<()> {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let areas = root.split_evenly((5, 1));
    let panels: [(&str, Value); 4] = [
        ("private memory, MiB", |sample| Some(sample.taken.memory_kib as f64 / 1024.0)),
        ("descriptors", |sample| Some(sample.taken.descriptors as f64)),
        ("mappings", |sample| Some(sample.taken.mappings as f64)),
        ("median latency of each second, µs", |sample| sample.p50_us),
    ];
    for (area, (title, value)) in areas.iter().zip(panels) {
        let rows: Vec<_> = seen
            .rows
            .iter()
            .map(|(name, samples)| {
                let points = samples.iter().filter_map(|one| Some((one.second, value(one)?)));
                (name.as_str(), points.collect::<Vec<_>>())
            })
            .filter(|(_, points)| !points.is_empty())
            .collect();
        panel(area, title, seen.seconds, &rows)?;
    }
    panel(&areas[4], "files in the directory", seen.seconds, &[("files", seen.files.clone())])?;
    root.present()?;
    Ok(())
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    title: &str,
    seconds: f64,
    rows: &[(&str, Vec<(f64, f64)>)],
) -> anyhow::Result<()> {
    let top = rows.iter().flat_map(|(_, points)| points).map(|point| point.1).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(8)
        .margin_right(140)
        .x_label_area_size(28)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..seconds, 0.0..top * 1.1)?;
    chart.configure_mesh().light_line_style(TRANSPARENT).x_desc("seconds").draw()?;
    for (index, (name, points)) in rows.iter().enumerate() {
        let colour = Palette99::pick(index).to_rgba();
        chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
        // Beside the chart, where nothing is drawn over.
        let y = 30 + 13 * i32::try_from(index)?;
        area.draw(&PathElement::new([(LEGEND, y), (LEGEND + 16, y)], colour.stroke_width(3)))?;
        area.draw(&Text::new(*name, (LEGEND + 22, y - 5), ("sans-serif", 11)))?;
    }
    Ok(())
}
