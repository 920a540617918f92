import subprocess
import sys


def test_importing_the_search_does_not_pay_for_torch():
    code = (
        "import sys, search.study, search.finalists; print(*{'torch', 'pandas', 'sklearn', 'onnx'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
