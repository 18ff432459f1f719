"""Trains a classifier on the 1,797 handwritten digits (8 x 8 pixels) that scikit-learn ships."""

import argparse
import json
from pathlib import Path

import joblib
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--gamma", type=float, default=0.001)
    parser.add_argument("--output", type=Path, default=Path("model"))
    args = parser.parse_args()

    images, labels = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(images, labels, test_size=0.25, random_state=0)
    model = SVC(gamma=args.gamma).fit(train_x, train_y)

    metrics = {
        "accuracy": round(float(accuracy_score(test_y, model.predict(test_x))), 4),
        "gamma": args.gamma,
        "trained_on": len(train_x),
        "tested_on": len(test_x),
    }
    args.output.mkdir(parents=True, exist_ok=True)
    joblib.dump(model, args.output / "model.joblib")
    (args.output / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    print(f"accuracy {metrics['accuracy']:.1%} on {metrics['tested_on']} digits that it had not seen")


if __name__ == "__main__":
    main()
