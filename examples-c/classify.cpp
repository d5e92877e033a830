// Classifies the images of an IDX file with an ONNX model, in C++.
//
//     c++ -std=c++17 classify.cpp $(pkg-config --cflags --libs tenon) && ./a.out MODEL.onnx IMAGES LABELS
#include <algorithm>
#include <fstream>
#include <iostream>
#include <iterator>
#include <vector>

#include <tenon.hpp>

// The elements of an IDX file of bytes, whose header is `header` bytes long.
static std::vector<unsigned char> read_idx(const char *path, std::size_t header)
{
    std::ifstream file(path, std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (bytes.size() <= header)
        throw std::runtime_error(std::string(path) + " is no IDX file");
    return {bytes.begin() + static_cast<std::ptrdiff_t>(header), bytes.end()};
}

int main(int argc, char **argv)
try {
    if (argc != 4)
        throw std::runtime_error("usage: classify MODEL.onnx IMAGES LABELS");
    tenon::Module module = tenon::Module::load_onnx(argv[1]);
    module.optimize();
    const tenon::Executable executable(module);

    const tenon_port in = executable.input(0), out = executable.output(0);
    const std::vector<std::int64_t> in_shape(in.shape, in.shape + in.rank), out_shape(out.shape, out.shape + out.rank);
    const std::vector<unsigned char> images = read_idx(argv[2], 16), labels = read_idx(argv[3], 8);
    std::vector<float> image(images.size() / labels.size()), scores(static_cast<std::size_t>(out_shape.back()));
    const std::vector<tenon::Tensor> inputs = {tenon::tensor(image, in_shape)};
    const std::vector<tenon::Tensor> outputs = {tenon::tensor(scores, out_shape)};

    std::size_t right = 0;
    for (std::size_t i = 0; i < labels.size(); i++) {
        for (std::size_t k = 0; k < image.size(); k++)
            image[k] = static_cast<float>(images[i * image.size() + k]) / 255;
        executable.run(inputs, outputs);
        const auto best = std::max_element(scores.begin(), scores.end()) - scores.begin();
        right += best == labels[i];
    }
    std::cout << "accuracy " << static_cast<double>(right) / static_cast<double>(labels.size()) << " (" << right << " of "
              << labels.size() << ")\n";
    return 0;
} catch (const std::exception &error) {
    std::cerr << error.what() << "\n";
    return 1;
}
