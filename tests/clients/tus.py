"""Uploads by tuspy, a tus client that knows nothing of Hilum: one file with a
checksum for each piece, then a store request of some tens of megabytes while
the server is killed and the line cut again and again. Every file must come back
byte for byte.

    python tests/clients/tus.py path/to/hilum
"""

import io
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from tusclient import client

PIECE = 1_000_000


class Server:
    """A server on one port, that can be killed and started again."""

    def __init__(self, binary, data):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.command = [binary, "serve", "--data", data, "--listen", f"127.0.0.1:{self.port}"]
        self.root = f"http://127.0.0.1:{self.port}"
        self.kills = 0
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{self.root}/readyz").close()
                return
            except OSError:
                time.sleep(0.05)
        sys.exit("the server did not start")

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.kills += 1
        self.start()

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Line:
    """A proxy that cuts some of the connections through it."""

    def __init__(self, port):
        self.to = port
        self.cuts = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.root = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            near, _ = self.listener.accept()
            try:
                far = socket.create_connection(("127.0.0.1", self.to), 2)
            except OSError:
                near.close()
                continue
            end = random.choice([None, None, 300_000, 2_500_000])
            threading.Thread(target=self.pump, args=(near, far, end), daemon=True).start()
            threading.Thread(target=self.pump, args=(far, near, None), daemon=True).start()

    def pump(self, here, there, end):
        passed = 0
        try:
            while data := here.recv(65536):
                passed += len(data)
                if end and passed > end:
                    self.cuts += 1
                    break
                there.sendall(data)
        except OSError:
            pass
        for side in (here, there):
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


STUDY, SERIES = generate_uid(), generate_uid()


def instance(number, rows):
    """A SOP Instance UID and its file."""
    data_set = Dataset()
    data_set.SOPClassUID, data_set.SOPInstanceUID = CTImageStorage, generate_uid()
    data_set.StudyInstanceUID, data_set.SeriesInstanceUID = STUDY, SERIES
    data_set.Modality, data_set.PatientID, data_set.InstanceNumber = "CT", "TUS", number
    data_set.Rows, data_set.Columns, data_set.SamplesPerPixel = rows, 1024, 1
    data_set.PhotometricInterpretation, data_set.PixelRepresentation = "MONOCHROME2", 0
    data_set.BitsAllocated, data_set.BitsStored, data_set.HighBit = 16, 16, 15
    data_set.PixelData = os.urandom(rows * 1024 * 2)
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = io.BytesIO()
    dcmwrite(file, data_set, enforce_file_format=True)
    return data_set.SOPInstanceUID, file.getvalue()


def report(url):
    while True:
        with urllib.request.urlopen(url) as answer:
            if not answer.headers.get("Retry-After"):
                return answer.status, json.load(answer)
        time.sleep(0.2)


def must_be_stored(server, url, files):
    status, module = report(url)
    assert status == 200, (status, module)
    assert len(module["00081199"]["Value"]) == len(files), module
    for uid, file in files:
        path = f"{server.root}/dicomweb/studies/{STUDY}/series/{SERIES}/instances/{uid}"
        request = urllib.request.Request(path, headers={"Accept": "application/dicom; transfer-syntax=*"})
        with urllib.request.urlopen(request) as answer:
            assert answer.read() == file, uid


def upload(uploader):
    """tuspy tries a piece again, but gives up when it cannot ask for the offset."""
    until = time.monotonic() + 120
    while True:
        try:
            return uploader.upload()
        except Exception:
            if time.monotonic() > until:
                raise
        time.sleep(0.2)
        try:
            uploader.offset = uploader.get_offset() if uploader.url else 0
        except Exception:
            pass


def main(binary):
    with tempfile.TemporaryDirectory() as folder:
        server = Server(binary, f"{folder}/data")
        files = [instance(1, 1000)]
        metadata = {"filename": "é.dcm", "filetype": "application/dicom"}
        file = io.BytesIO(files[0][1])
        whole = client.TusClient(f"{server.root}/uploads").uploader(
            file_stream=file, chunk_size=PIECE, metadata=metadata, upload_checksum=True
        )
        whole.upload()
        must_be_stored(server, whole.url, files)
        print("a file in pieces with checksums: stored")

        files = [instance(number, 4000) for number in range(2, 8)]
        parts = [b"--XX\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n" for _, file in files]
        body = b"".join(parts) + b"--XX--\r\n"
        line = Line(server.port)
        over = threading.Event()

        def kill_often():
            while not over.wait(random.uniform(0.4, 1.0)):
                server.kill()

        killer = threading.Thread(target=kill_often)
        killer.start()
        metadata = {"filetype": 'multipart/related; type="application/dicom"; boundary=XX'}
        pieces = client.TusClient(f"{line.root}/uploads").uploader(
            file_stream=io.BytesIO(body), chunk_size=PIECE, metadata=metadata, retries=100, retry_delay=0.1
        )
        try:
            upload(pieces)
        finally:
            over.set()
            killer.join()
        must_be_stored(server, pieces.url.replace(line.root, server.root), files)
        print(f"{len(body)} bytes over {server.kills} kills and {line.cuts} cut lines: stored")
        server.stop()
        subprocess.run([binary, "verify", "--data", f"{folder}/data"], check=True, stdout=subprocess.DEVNULL)


main(sys.argv[1])
