//! Figures and tables of Klindt et al. 2017 (`papers/klindt2017.md`).

pub mod fig3;
pub mod fig4;
pub mod fig5d;
pub mod fig5e;
mod population;
pub mod table1;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::population::Grid;
    use super::population::Model::{Factorised, FixedMask, FullyConnected};
    use super::{fig3, fig5d, fig5e, table1};
    use crate::fit::FitConfig;
    use crate::sweep::Sweep;

    /// Holds the fits of a file in `sweeps/` to those of a reproduction, in any order.
    fn same(sweep: &str, reproduced: Vec<FitConfig>) {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../sweeps/klindt2017-{sweep}.toml"));
        let points = Sweep::read(&path).unwrap().points(&[]).unwrap();
        let sorted = |configs: Vec<FitConfig>| {
            let mut texts: Vec<String> = configs.iter().map(FitConfig::to_toml).collect();
            texts.sort_unstable();
            texts
        };
        let swept = points.into_iter().map(|point| point.config).collect();
        assert!(sorted(swept) == sorted(reproduced), "{sweep}");
    }

    fn of_grid(grid: &Grid) -> Vec<FitConfig> {
        let fit = |strengths: &[f64; 2]| {
            let mut config = grid.model.config(4, *strengths).unwrap();
            config.schedule.max_steps = grid.max_steps;
            config
        };
        grid.strengths.iter().map(fit).collect()
    }

    fn of_table1(rows: &[&str]) -> Vec<FitConfig> {
        let row = |name: &&str| {
            let networks = table1::networks(name, None, 100, true).unwrap();
            let fits = networks.into_iter().flat_map(|(_, config)| {
                let points = table1::grid(name, config.model.penalty.smoothness);
                points.into_iter().map(move |point| config.with(&point).unwrap())
            });
            fits.collect::<Vec<_>>()
        };
        rows.iter().flat_map(row).collect()
    }

    #[test]
    fn sweeps_hold_the_fits_of_the_reproductions() {
        let with_l1 = |l1: f64| {
            FitConfig::preset("klindt2017-fig3")
                .unwrap()
                .with(&[format!("model.penalty.mask_l1={l1}")])
                .unwrap()
        };
        same("fig3", fig3::grid().into_iter().map(with_l1).collect());
        let fig5d = |model, steps| of_grid(&fig5d::grid((model, 1000), 4096, true, steps));
        same("fig5d", fig5d(Factorised, 10_000));
        same("fig5d-fully-connected", fig5d(FullyConnected, 15_000));
        let fig5e = |model, steps| of_grid(&fig5e::grid(model, 4, true, steps));
        same("fig5e", fig5e(Factorised, 100_000));
        same("fig5e-fixed-mask", fig5e(FixedMask, 150_000));
        same("fig5e-fully-connected", fig5e(FullyConnected, 150_000));
        same("table1", of_table1(&["1 convolution", "2 convolutions", "3 convolutions"]));
        same("table1-fixed-mask", of_table1(&["fixed mask"]));
        same("table1-fully-connected", of_table1(&["fully connected"]));
        same("table1-lnp", of_table1(&["LNP"]));
    }
}
