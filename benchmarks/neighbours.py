"""The exact neighbour graph against scikit-learn's brute-force search, and the measures on the graph.

Written down before optimising:

- The graph of 20,000 points in 512 dimensions, 20 neighbours, the same float64 features and thread count. Both multiply
  all pairs, 2n²d = 410 GFLOP. scikit-learn does so in float64; ours in float32, about twice as fast, and then takes
  float64 distances of 28 candidates a point. Expected: at least 1.5 times as fast, with equal indices. scikit-learn on
  float32 features, which is not exact, is shown beside it.
- Each measure on a graph that exists: at most 5 % of the time that the graph took. For mixing the two sets are halves
  of the points, and, as the dearest case, of sizes 3 to 1, which takes a deeper graph and five draws.
- All pairwise distances of 2,000 points in 512 dimensions against torch.cdist by differences, which is as exact and the
  only mode of it that puts copies of a point at distance 0. Expected: five times as fast.

Two sets of points: normal, where all distances are alike (the hardest to rank and the easiest to bound); and
activations, ten classes with a decaying spectrum and a ReLU, a tenth of them repeated.
"""

import time
from collections.abc import Callable

import torch
from intertwine.representations.geometry.dimension import inverse_lid, two_nn
from intertwine.representations.geometry.mixing_masked import mixing_masked
from intertwine.representations.geometry.purity import purity
from intertwine.representations.graph import NeighbourGraph, neighbour_graph, pairwise_distances
from intertwine.representations.seeds import generator
from intertwine.representations.similarity.neighbours import mutual_knn_of_graphs
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

N, D, K, CLASSES, TRIALS = 20_000, 512, 20, 10, 4

Time = tuple[float, float]


def points(kind: str) -> tuple[Tensor, Tensor]:
    """Features float64 ``(n, d)`` and labels."""
    g = generator(0, "points", kind)
    labels = torch.randint(CLASSES, (N,), generator=g)
    x = torch.randn(N, D, generator=g, dtype=torch.float64)
    if kind == "activations":
        means = torch.randn(CLASSES, D, generator=g, dtype=torch.float64)
        mix = torch.randn(D, D, generator=g, dtype=torch.float64) / D**0.5
        x = ((means[labels] + x) * torch.arange(1, D + 1) ** -0.5 @ mix).relu()
        x[-N // 10 :] = x[: N // 10]
        labels[-N // 10 :] = labels[: N // 10]
    return x, labels


def timed(function: Callable[[], object]) -> Time:
    """Wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


def best(functions: dict[str, Callable[[], object]], trials: int = TRIALS) -> dict[str, Time]:
    """The best wall and the best CPU time of each of several functions, run in turn: the machine may be shared."""
    times: dict[str, list[Time]] = {name: [] for name in functions}
    for _ in range(trials):
        for name, function in functions.items():
            times[name].append(timed(function))
    return {name: (min(w for w, _ in all_), min(c for _, c in all_)) for name, all_ in times.items()}


def cell(times: Time) -> str:
    return "{:.3g} ({:.3g})".format(*times)


def ratio(peer: Time, ours: Time) -> str:
    return f"{peer[0] / ours[0]:.2f} (CPU {peer[1] / ours[1]:.2f})"


def theirs(x: Tensor) -> tuple[Tensor, Tensor]:
    distances, indices = NearestNeighbors(n_neighbors=K, algorithm="brute").fit(x.numpy()).kneighbors()
    return torch.from_numpy(indices), torch.from_numpy(distances)


def agreement(x: Tensor, graph: NeighbourGraph, indices: Tensor, distances: Tensor) -> str:
    """Copies of a point tie, and which copy scikit-learn takes is open: it need only be a copy."""
    row, place = (graph.indices != indices).nonzero(as_tuple=True)
    other = int((x[graph.indices[row, place]] != x[indices[row, place]]).any(1).sum())
    off = float((graph.distances - distances).abs().max())
    return f"{1 - other / indices.numel():.2%} equal neighbours, distances within {off:.0e}"


def graph_rows(kind: str) -> list[dict[str, str]]:
    x, labels = points(kind)
    single = x.float()
    neighbour_graph(x[:5000], K), theirs(x[:5000])  # warm-up
    times = best({"ours": lambda: neighbour_graph(x, K), "theirs": lambda: theirs(x), "single": lambda: theirs(single)})
    graph = neighbour_graph(x, K)
    rows = [
        {
            "what": f"graph, {kind}, {N:,} × {D}, k = {K}: best of {TRIALS}, wall (CPU) s; target ratio ≥ 1.5",
            "ours": cell(times["ours"]),
            "peer": f"scikit-learn {cell(times['theirs'])}",
            "ratio": ratio(times["theirs"], times["ours"]),
            "note": agreement(x, graph, *theirs(x)),
        },
        {
            "what": f"graph, {kind}: scikit-learn on float32 features, not exact",
            "ours": cell(times["ours"]),
            "peer": f"scikit-learn {cell(times['single'])}",
            "ratio": ratio(times["single"], times["ours"]),
            "note": agreement(x, graph, *theirs(single)),
        },
    ]
    half, quarter = torch.arange(N) % 2 == 0, torch.arange(N) % 4 == 0
    every, other = torch.ones(1, N, dtype=torch.bool), neighbour_graph(x[:, : D // 2], K)
    deep = neighbour_graph(x, 100)
    measures: dict[str, Callable[[], object]] = {
        "purity": lambda: purity(graph, labels),
        "two_nn": lambda: two_nn(graph),
        "inverse_lid": lambda: inverse_lid(graph, k=K),
        "mutual_knn_of_graphs": lambda: mutual_knn_of_graphs(graph, other),
        "mixing_masked, halves": lambda: mixing_masked(graph, half, every),
        "mixing_masked, 3 to 1, graph of 100": lambda: mixing_masked(deep, quarter, every),
    }
    for name, found in best(measures).items():
        rows.append(
            {
                "what": f"{name}, {kind}: wall (CPU) s; target ≤ 5 % of the graph",
                "ours": cell(found),
                "peer": f"the graph {cell(times['ours'])}",
                "ratio": f"{found[0] / times['ours'][0]:.2%} (CPU {found[1] / times['ours'][1]:.2%})",
                "note": "",
            }
        )
    return rows


def distance_rows() -> list[dict[str, str]]:
    x = points("activations")[0][:2000]
    exact = {"compute_mode": "donot_use_mm_for_euclid_dist"}
    times = best({"ours": lambda: pairwise_distances(x), "theirs": lambda: torch.cdist(x, x, **exact)})
    off = (pairwise_distances(x) - torch.cdist(x, x, **exact)).abs().max()
    return [
        {
            "what": f"pairwise_distances, 2,000 × {D}: best of {TRIALS}, wall (CPU) s",
            "ours": cell(times["ours"]),
            "peer": f"torch.cdist by differences {cell(times['theirs'])}",
            "ratio": ratio(times["theirs"], times["ours"]),
            "note": f"largest difference {float(off):.0e}",
        }
    ]


def run() -> list[dict[str, str]]:
    threads = torch.get_num_threads()
    rows = [row for kind in ("normal", "activations") for row in graph_rows(kind)] + distance_rows()
    rows.append({"what": "threads", "ours": str(threads), "peer": str(threads), "ratio": "", "note": ""})
    return rows


if __name__ == "__main__":
    for row in run():
        print(" | ".join(row.values()), flush=True)
