"""Operators of ai.onnx.ml: models of scikit-learn and LightGBM, and the nodes that converters do not write."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

import tenon
import tenon.onnxruntime as drop_in

sklearn = pytest.importorskip("sklearn")
skl2onnx = pytest.importorskip("skl2onnx")


def data(classes: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((300, 6)).astype(np.float32)
    y = (x[:, 0] * 2 + x[:, 1] ** 2 + 0.3 * rng.standard_normal(300))
    return x, (np.digitize(y, np.quantile(y, np.linspace(0, 1, classes + 1)[1:-1])) if classes else y)


def estimators():
    from sklearn import compose, ensemble, impute, linear_model, naive_bayes, neural_network, pipeline, preprocessing, svm, tree
    from sklearn.decomposition import PCA

    yield "forest", ensemble.RandomForestClassifier(20, random_state=0), 3
    yield "forest of two classes", ensemble.RandomForestClassifier(20, random_state=0), 2
    yield "extra trees", ensemble.ExtraTreesClassifier(10, random_state=0), 4
    yield "boosting", ensemble.GradientBoostingClassifier(n_estimators=20, random_state=0), 2
    yield "boosting of three classes", ensemble.GradientBoostingClassifier(n_estimators=10, random_state=0), 3
    yield "tree", tree.DecisionTreeClassifier(random_state=0), 3
    yield "tree for regression", tree.DecisionTreeRegressor(random_state=0), 0
    yield "forest for regression", ensemble.RandomForestRegressor(20, random_state=0), 0
    yield "boosting for regression", ensemble.GradientBoostingRegressor(n_estimators=20, random_state=0), 0
    yield "logistic regression", linear_model.LogisticRegression(), 2
    yield "logistic regression of three classes", linear_model.LogisticRegression(), 3
    yield "linear regression", linear_model.LinearRegression(), 0
    yield "lasso", linear_model.Lasso(0.01), 0
    yield "support vectors", svm.SVC(probability=True, random_state=0), 3
    yield "support vectors of two classes", svm.SVC(), 2
    yield "polynomial support vectors", svm.SVC(kernel="poly", degree=2), 3
    yield "support vectors for regression", svm.SVR(), 0
    yield "linear support vectors", svm.LinearSVC(), 3
    yield "isolation", ensemble.IsolationForest(n_estimators=10, random_state=0), 0
    yield "naive Bayes", naive_bayes.GaussianNB(), 3
    yield "perceptron", neural_network.MLPClassifier((8,), max_iter=50, random_state=0), 3
    yield "scaled", pipeline.make_pipeline(
        preprocessing.StandardScaler(), PCA(4), linear_model.LogisticRegression()), 3
    yield "normalised", pipeline.make_pipeline(
        preprocessing.Normalizer(), preprocessing.MinMaxScaler(), svm.SVC(kernel="linear")), 2
    yield "imputed", pipeline.make_pipeline(
        impute.SimpleImputer(), preprocessing.Binarizer(threshold=0.1), tree.DecisionTreeClassifier()), 2
    yield "columns", pipeline.make_pipeline(
        compose.ColumnTransformer([("a", preprocessing.StandardScaler(), [0, 1]), ("b", preprocessing.RobustScaler(), [2, 3])]),
        linear_model.Ridge()), 0
    yield "AdaBoost", ensemble.AdaBoostClassifier(n_estimators=5, random_state=0), 3


@pytest.mark.parametrize("label,estimator,classes", list(estimators()), ids=[each[0] for each in estimators()])
@pytest.mark.filterwarnings("ignore")
def test_converted_estimators_agree(label, estimator, classes):
    x, y = data(classes)
    if label == "imputed":
        x = x.copy()
        x[::7, 2] = np.nan
    estimator.fit(x, y)
    model = skl2onnx.to_onnx(estimator, x[:1], target_opset={"": 17, "ai.onnx.ml": 3}).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    expected = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run(None, {"X": x})
    for level in (drop_in.GraphOptimizationLevel.ORT_ENABLE_ALL, drop_in.GraphOptimizationLevel.ORT_DISABLE_ALL):
        options = drop_in.SessionOptions()
        options.graph_optimization_level = level
        session = drop_in.InferenceSession(model, options)
        for rows in (len(x), 1):
            for got, wanted in zip(session.run(None, {"X": x[:rows]}), expected):
                compare(got, wanted[:rows])


def compare(got, wanted) -> None:
    if isinstance(wanted, list):
        assert len(got) == len(wanted) and got[0].keys() == wanted[0].keys()
        got, wanted = (np.array([list(row.values()) for row in rows]) for rows in (got, wanted))
    if wanted.dtype.kind == "f":
        np.testing.assert_allclose(got, wanted, rtol=2e-4, atol=2e-4)
    else:
        # Ties, and thresholds that a feature meets within rounding, may fall to the other side.
        assert got.shape == wanted.shape and np.mean(np.asarray(got) == wanted) > 0.995


@pytest.mark.filterwarnings("ignore")
def test_gradient_boosting_of_lightgbm_with_missing_values():
    lightgbm = pytest.importorskip("lightgbm")
    onnxmltools = pytest.importorskip("onnxmltools")
    from onnxmltools.convert.common.data_types import FloatTensorType

    x, y = data(2)
    x = x.copy()
    x[::5, 0] = np.nan
    booster = lightgbm.LGBMClassifier(n_estimators=30, num_leaves=15, verbose=-1).fit(x, y)
    model = onnxmltools.convert_lightgbm(
        booster, initial_types=[("X", FloatTensorType([None, 6]))], target_opset=15, zipmap=False).SerializeToString()
    labels, probabilities = drop_in.InferenceSession(model).run(None, {"X": x})
    np.testing.assert_allclose(probabilities, booster.predict_proba(x), rtol=1e-4, atol=1e-5)
    assert (labels == booster.predict(x)).all()


MODES = {
    "BRANCH_LEQ": np.less_equal, "BRANCH_LT": np.less, "BRANCH_GTE": np.greater_equal, "BRANCH_GT": np.greater,
    "BRANCH_EQ": np.equal, "BRANCH_NEQ": np.not_equal,
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("missing", [0, 1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mode", MODES)
def test_every_comparison(mode, dtype, missing, threads):
    """One node per tree, with a threshold that features meet exactly, and NaN."""
    thresholds = [0.5, -1.0, 0.0, 3e38, -3e38]
    nodes = dict(
        nodes_treeids=np.repeat(range(5), 3).tolist(), nodes_nodeids=[0, 1, 2] * 5, nodes_featureids=[0, 0, 0] * 5,
        nodes_modes=[mode, "LEAF", "LEAF"] * 5, nodes_truenodeids=[1, 0, 0] * 5, nodes_falsenodeids=[2, 0, 0] * 5,
        nodes_values=[value for each in thresholds for value in (each, 0.0, 0.0)],
        nodes_missing_value_tracks_true=[missing, 0, 0] * 5, n_targets=2,
        target_treeids=np.repeat(range(5), 2).tolist(), target_nodeids=[1, 2] * 5, target_ids=[0, 1] * 5,
        target_weights=[float(2**i) for i in range(10)])
    kind = TensorProto.DOUBLE if dtype == np.float64 else TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **nodes)], "g",
        [helper.make_tensor_value_info("x", kind, [None, 1])], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)], ir_version=8)
    x = np.array([0.5, 0.49999997, 0.50000006, -1, 0, -0.0, 1e-45, -1e-45, 3e38, -3e38, np.inf, -np.inf, np.nan], dtype)
    # More rows than are walked at once.
    x = np.tile(x, 50)[:, None]
    expected = np.zeros((len(x), 2))
    for tree, threshold in enumerate(np.array(thresholds, np.float32).astype(dtype)):
        with np.errstate(invalid="ignore"):
            holds = MODES[mode](x[:, 0], threshold) | (np.isnan(x[:, 0]) & bool(missing))
        expected[holds, 0] += 2.0 ** (2 * tree)
        expected[~holds, 1] += 2.0 ** (2 * tree + 1)
    run = tenon.compile(tenon.Module.load_onnx(model.SerializeToString()).optimize(), threads=threads)
    np.testing.assert_array_equal(run(x), expected)
    np.testing.assert_array_equal(np.concatenate([run(x[i:i + 1]) for i in range(13)]), expected[:13])


@pytest.mark.parametrize("change", ["cycle", "branch", "feature", "lengths"])
def test_trees_that_are_none_are_refused(change):
    nodes = dict(
        nodes_treeids=[0] * 3, nodes_nodeids=[0, 1, 2], nodes_featureids=[0, 0, 0], nodes_values=[0.0] * 3,
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"], nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[2, 0, 0], n_targets=1,
        target_treeids=[0, 0], target_nodeids=[1, 2], target_ids=[0, 0], target_weights=[1.0, 2.0])
    if change == "cycle":
        nodes["nodes_falsenodeids"] = [0, 0, 0]
    elif change == "branch":
        nodes["nodes_truenodeids"] = [7, 0, 0]
    elif change == "feature":
        nodes["nodes_featureids"] = [9, 0, 0]
    else:
        nodes["nodes_values"] = [0.0]
    graph = helper.make_graph(
        [helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **nodes)], "g",
        [helper.make_tensor_value_info("x", 1, [2, 1])], [helper.make_tensor_value_info("y", 1, None)])
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)], ir_version=8)
    with pytest.raises(tenon.TenonError):
        tenon.compile(tenon.Module.load_onnx(model.SerializeToString()))(np.zeros((2, 1), np.float32))
