//! Tables and figures of Xu et al. 2023 (`papers/xu2023.md`), on the authors' recordings or on simulated mice.

pub mod fig3;
pub mod fig4;
pub mod fig5;
mod mice;
mod table;
pub mod table1;
pub mod table2;
pub mod table3;
