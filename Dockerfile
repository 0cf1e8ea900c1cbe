# The twin, on CPUs: docker build -t lorafa-prof . && docker run --rm lorafa-prof fit --model llama-3-8b --gpu rtx-4090
FROM python:3.12-slim
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY lorafa_prof lorafa_prof
COPY scenarios scenarios
# Of PyTorch the build without CUDA, a tenth of the size: pip takes 2.13.0+cpu for newer than 2.13.0.
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu -c constraints.txt ".[peft]"
RUN useradd user && install -d -o user /work
# Also for whoever is named by docker run --user, who has no home and no name here.
ENV HOME=/tmp LOGNAME=user
USER user
WORKDIR /work
ENTRYPOINT ["lorafa-prof"]
CMD ["--help"]
