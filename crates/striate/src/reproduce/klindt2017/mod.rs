//! Figures and tables of Klindt et al. 2017 (spec §4).

pub mod fig3;
pub mod fig4;
pub mod fig5d;
pub mod fig5e;
mod population;
pub mod table1;
