//! Which cluster of one clustering is which of another.

/// The column of each row of a square matrix `[row][column]` such that the sum is largest (assignment problem, Kuhn 1955,
/// Munkres 1957; solved row by row along shortest augmenting paths, Edmonds & Karp 1972).
pub fn assign(benefit: &[Vec<i64>]) -> Vec<usize> {
    let mut matching = Matching::new(benefit);
    (0..benefit.len()).for_each(|row| matching.add(row));
    let mut columns = vec![0; benefit.len()];
    matching.owner[..benefit.len()].iter().enumerate().for_each(|(column, &row)| columns[row] = column);
    columns
}

const NOBODY: usize = usize::MAX;

/// A best matching of the rows so far, with the prices that prove it.
struct Matching<'a> {
    benefit: &'a [Vec<i64>],
    row_price: Vec<i64>,
    /// The last column stands for the row that is being added.
    column_price: Vec<i64>,
    owner: Vec<usize>,
}

impl<'a> Matching<'a> {
    fn new(benefit: &'a [Vec<i64>]) -> Self {
        let n = benefit.len();
        Self { benefit, row_price: vec![0; n], column_price: vec![0; n + 1], owner: vec![NOBODY; n + 1] }
    }

    /// Matches `row`, moving others along the cheapest path to a free column.
    fn add(&mut self, row: usize) {
        let n = self.benefit.len();
        self.owner[n] = row;
        let (mut cheapest, mut from, mut reached) = (vec![i64::MAX; n], vec![n; n], vec![false; n + 1]);
        let mut column = n;
        while self.owner[column] != NOBODY {
            reached[column] = true;
            self.look(column, &reached, &mut cheapest, &mut from);
            let free = (0..n).filter(|&c| !reached[c]);
            let Some(next) = free.min_by_key(|&c| cheapest[c]) else { return };
            self.pay(cheapest[next], &reached, &mut cheapest);
            column = next;
        }
        while column != n {
            self.owner[column] = self.owner[from[column]];
            column = from[column];
        }
    }

    /// Looks for cheaper ways to all columns through the owner of `column`.
    fn look(&self, column: usize, reached: &[bool], cheapest: &mut [i64], from: &mut [usize]) {
        let row = self.owner[column];
        for next in (0..from.len()).filter(|&next| !reached[next]) {
            let cost = -self.benefit[row][next] - self.row_price[row] - self.column_price[next];
            if cost < cheapest[next] {
                (cheapest[next], from[next]) = (cost, column);
            }
        }
    }

    /// Raises prices until the next column costs nothing.
    fn pay(&mut self, price: i64, reached: &[bool], cheapest: &mut [i64]) {
        for column in (0..reached.len()).filter(|&column| reached[column]) {
            self.row_price[self.owner[column]] += price;
            self.column_price[column] -= price;
        }
        (0..cheapest.len()).filter(|&column| !reached[column]).for_each(|column| cheapest[column] -= price);
    }
}

#[cfg(test)]
mod tests {
    use super::assign;
    use proptest::prelude::*;

    fn sum(benefit: &[Vec<i64>], columns: &[usize]) -> i64 {
        benefit.iter().zip(columns).map(|(row, &column)| row[column]).sum()
    }

    /// The largest sum of all assignments of the rows from `row` on.
    fn best(benefit: &[Vec<i64>], row: usize, taken: &mut Vec<usize>) -> i64 {
        if row == benefit.len() {
            return 0;
        }
        let free: Vec<usize> = (0..benefit.len()).filter(|column| !taken.contains(column)).collect();
        let sums = free.into_iter().map(|column| {
            taken.push(column);
            let rest = best(benefit, row + 1, taken);
            taken.pop();
            benefit[row][column] + rest
        });
        sums.max().unwrap_or(0)
    }

    #[test]
    fn the_best_is_not_the_greedy_one() {
        // Taking 5 first leaves 0, the other way gives 8.
        assert_eq!(assign(&[vec![5, 4], vec![4, 0]]), [1, 0]);
        assert_eq!(assign(&[vec![0]]), [0]);
        assert!(assign(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn no_assignment_is_better(
            benefit in (1_usize..6).prop_flat_map(|n| proptest::collection::vec(proptest::collection::vec(-5_i64..9, n), n)),
        ) {
            let columns = assign(&benefit);
            let mut sorted = columns.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..benefit.len()).collect::<Vec<_>>());
            prop_assert_eq!(sum(&benefit, &columns), best(&benefit, 0, &mut Vec::new()));
        }
    }
}
